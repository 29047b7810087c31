/*
 * loop_driver.c: PID 1's loop with many descriptors, and with process numbers that come again.
 *
 * many N: N pipes are watched and ready at once; prints how often the least called one was called,
 * and the relays' output.
 *
 * wrap: in a PID namespace of its own; prints what is known of processes whose numbers were others'
 * before.
 */
#include "base/failure.h"
#include "base/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct counted {
    struct watch watch;
    unsigned calls;
};

static void count_call(struct watch *watch)
{
    ((struct counted *)watch)->calls++;
}

static int many(unsigned number)
{
    const struct rlimit limit = {8192, 8192};
    struct counted *all = calloc(number, sizeof *all);
    struct failure failure;
    unsigned least = 1000000;
    int ends[2];
    if (!all || setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 2;
    for (unsigned i = 0; i < number; i++) {
        if (pipe2(ends, O_CLOEXEC) < 0 || write(ends[1], "x", 1) != 1)
            return 2;
        all[i].watch = (struct watch){.descriptor = ends[0], .ready = count_call};
        watch_add(&all[i].watch);
    }
    for (unsigned i = 0; i < 300; i++)
        if (pipe2(ends, O_CLOEXEC) < 0 || relay_add(ends[0], -1, 0, &failure) < 0)
            return 2;
    /* The last one that was added. */
    if (write(ends[1], "relayed\n", 8) != 8)
        return 2;
    for (unsigned i = 0; i < 2 * number / 64 + 2; i++)
        process_events(0);
    for (unsigned i = 0; i < number; i++)
        least = all[i].calls < least ? all[i].calls : least;
    printf("least %u\n", least);
    while (number-- > 0) {
        watch_remove(&all[number].watch);
        close(all[number].watch.descriptor);
    }
    free(all);
    return 0;
}

/* The next process that is forked has this number. */
static int next_is(pid_t pid)
{
    FILE *file = fopen("/proc/sys/kernel/ns_last_pid", "w");
    if (!file || fprintf(file, "%d", (int)pid - 1) < 0)
        return -1;
    return fclose(file);
}

static pid_t spawn(unsigned milliseconds, int status)
{
    pid_t pid = fork();
    if (pid == 0) {
        usleep(milliseconds * 1000);
        _exit(status);
    }
    return pid;
}

static int wrap(void)
{
    struct failure failure;
    struct child child;
    char text[64];
    pid_t stranger = spawn(0, 7);
    usleep(100000);
    process_events(0);
    if (next_is(stranger) < 0)
        return 2;
    pid_t pid = child_fork(&child, &failure);
    if (pid == 0) {
        usleep(300000);
        _exit(0);
    }
    printf("same number %d, own child ended %d", pid == stranger, child.ended);
    child_wait(&child);
    describe_status(child.status, text, sizeof text);
    printf(" then %s\n", text);

    stranger = spawn(0, 7);
    usleep(100000);
    process_events(0);
    if (next_is(stranger) < 0)
        return 2;
    pid = spawn(300, 3);
    child_watch(&child, pid);
    printf("same number %d, living stranger ended %d", pid == stranger, child.ended);
    child_wait(&child);
    describe_status(child.status, text, sizeof text);
    printf(" then %s\n", text);

    pid = spawn(0, 5);
    usleep(100000);
    process_events(0);
    child_watch(&child, pid);
    describe_status(child.status, text, sizeof text);
    printf("ended stranger ended %d with %s\n", child.ended, text);
    child_forget(&child);
    return 0;
}

int main(int count, char *arguments[])
{
    struct failure failure;
    if (count < 2 || process_start(&failure) < 0)
        return 2;
    if (strcmp(arguments[1], "wrap") == 0)
        return wrap();
    return count < 3 ? 2 : many((unsigned)strtoul(arguments[2], NULL, 10));
}
