/*
 * main.c: escrow: sends the envelope with the recovery key of the data partition to whoever keeps
 * it, until a server has taken it.
 *
 *     escrow FOLDER URL
 *
 * The program of the data partition has put the envelope into FOLDER/.compos-escrow; what was taken
 * is copied to FOLDER/.compos-escrow-sent. Ends with 0 when there is nothing left to send.
 */
#include "base/files.h"
#include "base/keep.h"
#include "web/fetch.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define MAIN_ENVELOPE ".compos-escrow"
#define MAIN_SENT ".compos-escrow-sent"

enum { MAX_ENVELOPE = 16 << 10, FIRST_PAUSE = 5, MOST_PAUSE = 3600 };

/* A file's text, to be freed; NULL if it is not there. */
static char *main_read(const char *folder, const char *name)
{
    char path[PATH_SIZE];
    size_t length;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return file_read(path, MAX_ENVELOPE, &length);
}

/* Whether a server has taken it. */
static bool main_send(const char *url, const char *envelope)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    const struct fetch_request request = {url, headers, "POST", envelope, true};
    struct fetch_answer answer;
    struct failure failure;
    if (fetch_send(&request, &answer, &failure) < 0) {
        fprintf(stderr, "escrow: %s: %s\n", url, failure.text);
        return false;
    }
    free(answer.text);
    if (answer.status >= 200 && answer.status < 300)
        return true;
    fprintf(stderr, "escrow: %s: status %d\n", url, answer.status);
    return false;
}

/* From `seconds` to twice as many: machines that start together do not ask together. */
static void main_pause(unsigned seconds)
{
    unsigned chance = 0;
    if (getrandom(&chance, sizeof chance, 0) != sizeof chance)
        chance = (unsigned)getpid();
    struct timespec rest = {(time_t)(seconds + chance % seconds), 0};
    while (nanosleep(&rest, &rest) < 0 && errno == EINTR)
        continue;
}

static int main_deliver(const char *folder, const char *url, const char *envelope)
{
    for (unsigned pause = FIRST_PAUSE; !main_send(url, envelope);) {
        main_pause(pause);
        pause = pause * 2 < MOST_PAUSE ? pause * 2 : MOST_PAUSE;
    }
    printf("escrow: the recovery key's envelope is delivered\n");
    if (keep_replace(folder, MAIN_SENT, envelope) == 0)
        return 0;
    fprintf(stderr, "escrow: %s/" MAIN_SENT ": %s\n", folder, strerror(errno));
    return 1;
}

static void main_end(int number)
{
    (void)number;
    _exit(0);
}

int main(int count, char *arguments[])
{
    if (count != 3) {
        fprintf(stderr, "usage: escrow FOLDER URL\n");
        return 2;
    }
    /* The first process of a container ends by a signal only if it says so. */
    struct sigaction action = {.sa_handler = main_end};
    sigaction(SIGTERM, &action, NULL);
    char *envelope = main_read(arguments[1], MAIN_ENVELOPE);
    char *sent = main_read(arguments[1], MAIN_SENT);
    int status = 0;
    if (!envelope)
        printf("escrow: there is no envelope: this partition was made without one\n");
    else if (!sent || strcmp(envelope, sent) != 0)
        status = main_deliver(arguments[1], arguments[2], envelope);
    free(envelope);
    free(sent);
    return status;
}
