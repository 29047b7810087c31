/* svc.c: see svc.h. */
#include "services/svc.h"

#include "base/files.h"
#include "base/request.h"
#include "services/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char svc_usage[] = "usage: svc ps [--json]\n"
                                "       svc logs [-f] [-n LINES] NAME\n"
                                "       svc start|stop|restart NAME...\n"
                                "       svc wait [-t SECONDS] NAME [running|healthy|exited]\n"
                                "\n"
                                "Shows and controls the services of this system.\n";

enum { FIELDS = 7, MAX_STATUS = 1 << 20, POLL = 100000 };

struct row {
    char *field[FIELDS]; /* name, state, health, pid, restarts, exit, since */
};

static int svc_complain(const char *what, const char *why)
{
    fprintf(stderr, "svc: %s: %s\n", what, why);
    return 1;
}

/* The next line of the status file at *text, which is cut; false at the end. */
static bool svc_next_row(char **text, struct row *row)
{
    static char nothing[] = "";
    char *end = strchr(*text, '\n');
    if (!end)
        return false;
    *end = '\0';
    char *field = *text;
    *text = end + 1;
    for (int i = 0; i < FIELDS; i++) {
        row->field[i] = field ? field : nothing;
        field = field ? strchr(field, '\t') : NULL;
        if (field)
            *field++ = '\0';
    }
    return true;
}

static char *svc_read_status(const char *path)
{
    size_t length;
    char *text = file_read(path, MAX_STATUS, &length);
    if (!text)
        svc_complain(path, strerror(errno));
    return text;
}

/* "3 s", "12 min", "5 h", "2 d": how long ago. */
static void svc_format_age(char *text, size_t size, const char *since)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    long seconds = (long)now.tv_sec - strtol(since, NULL, 10);
    if (seconds < 120)
        snprintf(text, size, "%ld s", seconds < 0 ? 0 : seconds);
    else if (seconds < 7200)
        snprintf(text, size, "%ld min", seconds / 60);
    else if (seconds < 172800)
        snprintf(text, size, "%ld h", seconds / 3600);
    else
        snprintf(text, size, "%ld d", seconds / 86400);
}

static int svc_ps(void)
{
    char *text = svc_read_status(STATUS_FILE), *at = text, time[32];
    struct row row;
    if (!text)
        return 1;
    printf("%-20s %-12s %-10s %7s %8s %5s  %s\n", "NAME", "STATE", "HEALTH", "PID", "RESTARTS",
           "EXIT", "SINCE");
    while (svc_next_row(&at, &row)) {
        svc_format_age(time, sizeof time, row.field[6]);
        const char *pid = strcmp(row.field[3], "0") == 0 ? "-" : row.field[3];
        printf("%-20s %-12s %-10s %7s %8s %5s  %s\n", row.field[0], row.field[1], row.field[2], pid,
               row.field[4], row.field[5], time);
    }
    free(text);
    return 0;
}

static int svc_json(void)
{
    char *text = svc_read_status(STATUS_JSON);
    if (!text)
        return 1;
    fputs(text, stdout);
    free(text);
    return 0;
}

static int svc_request_all(const char *action, int count, char *names[])
{
    struct failure failure;
    int result = 0;
    for (int i = 0; i < count; i++)
        if (request_send(action, names[i], &failure) < 0) {
            fprintf(stderr, "svc: %s\n", failure.text);
            result = 1;
        }
    return result;
}

/* Whether a service is as somebody waits for; -1: there is none of this name. */
static int svc_is_as_wanted(const char *name, const char *wanted)
{
    char *text = svc_read_status(STATUS_FILE), *at = text;
    struct row row;
    int result = -1;
    while (text && result < 0 && svc_next_row(&at, &row)) {
        if (strcmp(row.field[0], name) != 0)
            continue;
        const char *state = row.field[1];
        if (strcmp(wanted, "healthy") == 0)
            result = strcmp(row.field[2], wanted) == 0;
        else if (strcmp(wanted, "exited") == 0)
            result = strcmp(state, "exited") == 0 || strcmp(state, "failed") == 0 ||
                     strcmp(state, "stopped") == 0;
        else
            result = strcmp(state, wanted) == 0;
    }
    free(text);
    return result;
}

static int svc_wait_for(int count, char *arguments[])
{
    long seconds = 60;
    if (count > 2 && strcmp(arguments[0], "-t") == 0) {
        seconds = strtol(arguments[1], NULL, 10);
        arguments += 2;
        count -= 2;
    }
    const char *wanted = count > 1 ? arguments[1] : "running";
    if (count < 1 ||
        (strcmp(wanted, "running") && strcmp(wanted, "healthy") && strcmp(wanted, "exited"))) {
        fputs(svc_usage, stderr);
        return 2;
    }
    enum { LOOKS = 1000000 / POLL }; /* a second */
    for (long tries = 0; (tries + LOOKS - 1) / LOOKS <= seconds; tries++) {
        int result = svc_is_as_wanted(arguments[0], wanted);
        if (result != 0)
            return result < 0 ? svc_complain(arguments[0], "no such service") : 0;
        usleep(POLL);
    }
    return svc_complain(arguments[0], "timed out");
}

/* Prints the last `lines` lines of a file. The place behind them, or -1. */
static off_t svc_print_tail(const char *path, unsigned long lines)
{
    enum { MAX_LOG = 64 << 20 };
    size_t length;
    char *text = file_read(path, MAX_LOG, &length);
    if (!text)
        return -1;
    size_t begin = length;
    for (unsigned long found = 0; begin > 0; begin--)
        if (text[begin - 1] == '\n' && begin != length && ++found == lines)
            break;
    fwrite(text + begin, 1, length - begin, stdout);
    fflush(stdout);
    free(text);
    return (off_t)length;
}

/*
 * Prints what has been added to a file. A shorter one than before is a new one: the logger has
 * begun another.
 */
static off_t svc_print_added(const char *path, off_t at)
{
    char bytes[4096];
    struct stat status;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return at;
    if (fstat(file, &status) < 0) {
        close(file);
        return at;
    }
    if (status.st_size < at)
        at = 0;
    for (ssize_t count; (count = pread(file, bytes, sizeof bytes, at)) > 0; at += count)
        fwrite(bytes, 1, (size_t)count, stdout);
    fflush(stdout);
    close(file);
    return at;
}

static int svc_logs(int count, char *arguments[])
{
    static const char *const streams[] = {".out.log", ".log"};
    bool follow = false, found = false;
    unsigned long lines = ~0UL;
    char path[2][PATH_SIZE];
    off_t at[2];
    int i = 0;
    for (; i < count && arguments[i][0] == '-'; i++)
        if (strcmp(arguments[i], "-f") == 0)
            follow = true;
        else if (strcmp(arguments[i], "-n") == 0 && i + 1 < count)
            lines = strtoul(arguments[++i], NULL, 10);
        else
            break;
    if (i != count - 1 || strchr(arguments[i], '/')) {
        fputs(svc_usage, stderr);
        return 2;
    }
    for (int stream = 0; stream < 2; stream++) {
        snprintf(path[stream], sizeof path[stream], "/var/log/%s%s", arguments[i], streams[stream]);
        at[stream] = svc_print_tail(path[stream], lines);
        found = found || at[stream] >= 0;
        if (at[stream] < 0)
            at[stream] = 0;
    }
    if (!found && !follow)
        return svc_complain(arguments[i], "has no logs here");
    while (follow) {
        for (int stream = 0; stream < 2; stream++)
            at[stream] = svc_print_added(path[stream], at[stream]);
        usleep(POLL);
    }
    return 0;
}

int svc_command(int count, char *arguments[])
{
    const char *action = count > 1 ? arguments[1] : "";
    if (strcmp(action, "ps") == 0 && count == 2)
        return svc_ps();
    if (strcmp(action, "ps") == 0 && count == 3 && strcmp(arguments[2], "--json") == 0)
        return svc_json();
    if (strcmp(action, "logs") == 0)
        return svc_logs(count - 2, arguments + 2);
    if (strcmp(action, "wait") == 0)
        return svc_wait_for(count - 2, arguments + 2);
    if ((strcmp(action, "start") == 0 || strcmp(action, "stop") == 0 ||
         strcmp(action, "restart") == 0) &&
        count > 2)
        return svc_request_all(action, count - 2, arguments + 2);
    bool help = strcmp(action, "--help") == 0 || strcmp(action, "-h") == 0;
    fputs(svc_usage, help ? stdout : stderr);
    return help ? 0 : 2;
}
