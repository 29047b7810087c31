/*
 * process_driver.c: LOG PROGRAM [ARGUMENT...]: runs a program as init runs runc, its standard
 * output passed on to LOG and the console, and prints how it ended; with orphans as PID 1 gets
 * them. A request for power-off ends the wait.
 */
#include "base/failure.h"
#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int count, char *arguments[])
{
    struct failure failure;
    struct child child;
    int ends[2];
    char status[64];
    if (count < 3 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || process_start(&failure) < 0 ||
        pipe2(ends, O_CLOEXEC) < 0)
        return 2;
    int log = open(arguments[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (relay_add(ends[0], log, 1 << 20, &failure) < 0)
        return 2;
    const char *const *program = (const char *const *)(arguments + 2);
    int started = child_start(&child, program, ends[1], STDERR_FILENO, &failure);
    close(ends[1]);
    if (started < 0)
        return 2;
    bool ended = child_wait(&child) == 0;
    relay_drain();
    describe_status(child.status, status, sizeof status);
    printf("%s, power %d\n", ended ? status : "interrupted", (int)process_power());
    while (ended && !(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD))
        process_events(10);
    relay_drain();
    return 0;
}
