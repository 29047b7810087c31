/*
 * main.c: kmsg: each record of the kernel's log as a line on standard error:
 * "(sequence) - timestamp: message" (Documentation/ABI/testing/dev-kmsg).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_RECORD = 16384 }; /* more than the kernel's own limit, PRINTK_MESSAGE_MAX escaped */

/* The wall clock's time of `microseconds` since the start, in UTC. */
static void main_format_time(unsigned long long microseconds, char *text, size_t size)
{
    struct timespec now, since;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    clock_gettime(CLOCK_MONOTONIC, &since);
    long long start =
        (now.tv_sec - since.tv_sec) * 1000000LL + (now.tv_nsec - since.tv_nsec) / 1000;
    long long moment = start + (long long)microseconds;
    time_t second = (time_t)(moment / 1000000);
    gmtime_r(&second, &utc);
    size_t length = strftime(text, size, "%Y-%m-%d %H:%M:%S", &utc);
    snprintf(text + length, size - length, ".%06lld +0000 UTC", moment % 1000000);
}

/*
 * "priority,sequence,microseconds,flags[,...];message"; what follows the first line describes the
 * device. What is no such record is passed on as it is.
 */
static void main_print(const char *record)
{
    unsigned long long sequence, microseconds;
    char moment[64];
    const char *message = strchr(record, ';');
    size_t length = strcspn(record, "\n");
    if (message && sscanf(record, "%*u,%llu,%llu,", &sequence, &microseconds) == 2) {
        main_format_time(microseconds, moment, sizeof moment);
        length -= (size_t)(message + 1 - record);
        fprintf(stderr, "(%llu) - %s: %.*s\n", sequence, moment, (int)length, message + 1);
    } else {
        fprintf(stderr, "%.*s\n", (int)length, record);
    }
}

int main(int argument_count, char *arguments[])
{
    char record[MAX_RECORD];
    const char *path = argument_count > 1 ? arguments[1] : "/dev/kmsg";
    int file = open(path, O_RDONLY | O_CLOEXEC);
    while (file >= 0) {
        ssize_t count = read(file, record, sizeof record - 1);
        /* EPIPE: records were overwritten before they were read; the next read goes on behind. */
        if (count < 0 && (errno == EPIPE || errno == EINTR))
            continue;
        if (count == 0)
            errno = ENODATA;
        if (count <= 0)
            break;
        record[count] = '\0';
        main_print(record);
    }
    fprintf(stderr, "kmsg: %s: %s\n", path, strerror(errno));
    return 1;
}
