/*
 * main.c: logwrite: what memlogd has, and what comes, in files, one for each source. It ends when
 * memlogd does; whoever started it starts it again.
 */
#include "logs.h"
#include "protocol/options.h"
#include "protocol/protocol.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PROBLEM_PAUSE = 10 };

/* A full disk is reported now and then, on standard error: with memlogd, that is a log as well. */
static void main_complain(const struct failure *failure)
{
    static time_t last;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (last && now.tv_sec - last < PROBLEM_PAUSE)
        return;
    last = now.tv_sec;
    fprintf(stderr, "logwrite: %s\n", failure->text);
}

/* "time source message", the time to the second. */
static int main_write(const struct log_line *line, void *context, struct failure *failure)
{
    (void)context;
    /* Its own complaints would make others. */
    if (strncmp(line->source, "logwrite", 8) == 0)
        return 0;
    size_t second = strcspn(line->time, ".Z");
    size_t size = second + strlen(line->source) + line->message_length + 4;
    char *text = malloc(size);
    if (!text)
        return failed_errno(failure, "a line");
    int head = sprintf(text, "%.*sZ %s ", (int)second, line->time, line->source);
    memcpy(text + head, line->message, line->message_length);
    text[(size_t)head + line->message_length] = '\n';
    if (logs_append(line->source, text, (size_t)head + line->message_length + 1, failure) < 0)
        main_complain(failure);
    free(text);
    return 0;
}

int main(int argument_count, char *arguments[])
{
    struct failure failure;
    const char *path = QUERY_SOCKET, *folder = "/var/log";
    long files = 10, size = 1 << 20;
    const struct option options[] = {
        {.name = "socket", .text = &path},
        {.name = "log-dir", .text = &folder},
        {.name = "max-log-files", .number = &files, .least = 1, .most = 1000},
        {.name = "max-log-size", .number = &size, .least = 1, .most = 1 << 30},
    };
    options_read(argument_count, arguments, options, sizeof options / sizeof *options);
    signal(SIGPIPE, SIG_IGN);
    if (logs_start(folder, size, files, &failure) == 0 &&
        protocol_query(path, QUERY_DUMP_AND_FOLLOW, main_write, NULL, &failure) == 0)
        failed(&failure, "memlogd has ended");
    fprintf(stderr, "logwrite: %s\n", failure.text);
    return 1;
}
