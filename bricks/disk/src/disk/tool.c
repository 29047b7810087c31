/* tool.c: running mkfs and its like. */
#include "disk/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { OUTPUT_MOST = 16 << 10 };

static int64_t tool_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static _Noreturn void tool_become(const char *const arguments[], int input, int output, int error)
{
    if (input < 0)
        input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (error < 0)
        error = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(error, 2) < 0)
        _exit(127);
    execvp(arguments[0], (char *const *)arguments);
    _exit(127);
}

/* Takes the output to its end, the first OUTPUT_MOST bytes of it; -1 when time is up. */
static int tool_collect(int output, char *bytes, size_t *length, int64_t deadline)
{
    char rest[4096];
    for (;;) {
        int64_t left = deadline - tool_now();
        struct pollfd wait = {.fd = output, .events = POLLIN};
        int ready = left > 0 ? poll(&wait, 1, left > 1000 ? 1000 : (int)left) : -1;
        if (left <= 0)
            return -1;
        if (ready <= 0)
            continue;
        ssize_t count = read(output, rest, sizeof rest);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return 0;
        size_t kept = OUTPUT_MOST - *length;
        kept = kept < (size_t)count ? kept : (size_t)count;
        memcpy(bytes + *length, rest, kept);
        *length += kept;
    }
}

/* `said`: the first line of the tool's output. */
static int tool_judge(const char *name, int status, int most, const char *said,
                      struct failure *failure)
{
    if (WIFSIGNALED(status))
        return failed(failure, "%s: signal %d (%s)", name, WTERMSIG(status),
                      strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) == 127)
        return failed(failure, "%s cannot be run", name);
    if (WEXITSTATUS(status) > most)
        return failed(failure, "%s: exit status %d: %s", name, WEXITSTATUS(status), said);
    return 0;
}

int tool_run(const char *const arguments[], int input, int seconds, bool verbose,
             struct failure *failure)
{
    return tool_run_to(arguments, input, seconds, verbose, 0, failure);
}

/* Runs it with its output in `bytes`, which has room for OUTPUT_MOST; with_errors: stderr, too. */
static int tool_collect_from(const char *const arguments[], int input, int seconds,
                             bool with_errors, char *bytes, int *status, struct failure *failure)
{
    size_t length = 0;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return failed_errno(failure, "pipe");
    pid_t pid = fork();
    if (pid == 0)
        tool_become(arguments, input, ends[1], with_errors ? ends[1] : -1);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return failed_errno(failure, "fork");
    }
    int late = tool_collect(ends[0], bytes, &length, tool_now() + (int64_t)seconds * 1000);
    close(ends[0]);
    if (late < 0)
        kill(pid, SIGKILL);
    while (waitpid(pid, status, 0) < 0 && errno == EINTR)
        continue;
    bytes[length] = 0;
    return late < 0 ? failed(failure, "%s did not end within %d s", arguments[0], seconds) : 0;
}

int tool_run_to(const char *const arguments[], int input, int seconds, bool verbose, int most,
                struct failure *failure)
{
    static char bytes[OUTPUT_MOST + 1];
    char line[200];
    int status = 0;
    int result = tool_collect_from(arguments, input, seconds, true, bytes, &status, failure);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(bytes, "\n"), bytes);
    if (result == 0)
        result = tool_judge(arguments[0], status, most, line, failure);
    if (verbose)
        fputs(bytes, stderr);
    return result;
}

int tool_capture(const char *const arguments[], int seconds, char *output, size_t size,
                 struct failure *failure)
{
    static char bytes[OUTPUT_MOST + 1];
    int status = 0;
    int result = tool_collect_from(arguments, -1, seconds, false, bytes, &status, failure);
    if (result == 0)
        result = tool_judge(arguments[0], status, 0, "", failure);
    snprintf(output, size, "%s", result == 0 ? bytes : "");
    explicit_bzero(bytes, sizeof bytes);
    return result;
}
