/*
 * main.c: trim-after-delete [-delay 10s] [-docker-socket PATH] -- COMMAND...: runs a command, such
 * as fstrim, some time after Docker has deleted something; once for all that is deleted meanwhile.
 */
#include "events.h"
#include "protocol/options.h"
#include "protocol/protocol.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { RECONNECT = 1000 };

static int64_t main_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* "10s", "500ms", "1m", as Go writes durations, or seconds: milliseconds; -1. */
static int64_t main_duration(const char *text)
{
    static const struct {
        const char *unit;
        int64_t factor;
    } units[] = {{"", 1000}, {"s", 1000}, {"ms", 1}, {"m", 60000}, {"h", 3600000}};
    char *end;
    long number = strtol(text, &end, 10);
    for (size_t i = 0; end > text && number >= 0 && number <= 1000000 && i < 5; i++)
        if (strcmp(end, units[i].unit) == 0)
            return number * units[i].factor;
    return -1;
}

/*
 * The stream of events; -1 if Docker is not there. HTTP/1.0: the response is not chunked, and goes
 * on until the connection is closed.
 */
static int main_connect(const char *path)
{
    static const char request[] = "GET /events HTTP/1.0\r\nHost: docker\r\n\r\n";
    static bool complained;
    struct failure failure;
    int stream = protocol_connect(path, SOCK_STREAM, &failure);
    if (stream >= 0 && send(stream, request, sizeof request - 1, MSG_NOSIGNAL) < 0) {
        failed_errno(&failure, "%s", path);
        close(stream);
        stream = -1;
    }
    if (stream < 0 && !complained)
        fprintf(stderr, "trim-after-delete: %s; trying again\n", failure.text);
    complained = stream < 0;
    events_reset();
    return stream;
}

static void main_run(char *command[])
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        execvp(command[0], command);
        fprintf(stderr, "trim-after-delete: %s: %s\n", command[0], strerror(errno));
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        continue;
    if (child < 0 || status != 0)
        fprintf(stderr, "trim-after-delete: %s failed\n", command[0]);
}

/* Waits for events until `deadline` (0: without end). -1: the stream has ended. */
static int main_wait(int stream, int64_t deadline, bool *frees)
{
    char bytes[4096];
    struct pollfd ready = {.fd = stream, .events = POLLIN};
    int64_t left = deadline ? deadline - main_now() : -1;
    *frees = false;
    if (deadline && left <= 0)
        return 0;
    if (poll(&ready, 1, (int)left) <= 0)
        return 0;
    ssize_t count = read(stream, bytes, sizeof bytes);
    if (count > 0)
        *frees = events_take(bytes, (size_t)count);
    return count > 0 ? 0 : -1;
}

static _Noreturn void main_follow(const char *path, int64_t delay, char *command[])
{
    int stream = -1;
    int64_t due = 0; /* when to run the command; 0: nothing has been deleted */
    for (;;) {
        bool frees = false;
        if (stream < 0)
            stream = main_connect(path);
        if (stream < 0) {
            poll(NULL, 0, RECONNECT);
        } else if (main_wait(stream, due, &frees) < 0) {
            close(stream);
            stream = -1;
            poll(NULL, 0, RECONNECT);
        }
        if (frees && due == 0)
            due = main_now() + delay;
        if (due != 0 && main_now() >= due) {
            due = 0;
            main_run(command);
        }
    }
}

int main(int argument_count, char *arguments[])
{
    const char *path = "/var/run/docker.sock", *delay = "10s";
    const struct option options[] = {{.name = "docker-socket", .text = &path},
                                     {.name = "delay", .text = &delay}};
    int first = options_read(argument_count, arguments, options, 2);
    int64_t milliseconds = main_duration(delay);
    if (first >= argument_count || milliseconds < 0) {
        fprintf(stderr, "usage: trim-after-delete [-delay 10s] [-docker-socket PATH] -- "
                        "COMMAND [ARGUMENT...]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    main_follow(path, milliseconds, arguments + first);
}
