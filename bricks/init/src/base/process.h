/*
 * process.h: PID 1's one loop: children are reaped, their output is passed on, requests for
 * power-off arrive. Whoever waits for something waits in here, so nothing is missed meanwhile.
 */
#ifndef COMPOS_PROCESS_H
#define COMPOS_PROCESS_H

#include "base/failure.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum power { POWER_NONE, POWER_OFF, POWER_HALT, POWER_REBOOT };

/* A process whose end is of interest. Lives as long as it is watched. */
struct child {
    pid_t pid;
    int status; /* as of waitpid */
    bool watched;
    bool ended; /* stays when it is no longer watched */
    struct child *next;
};

/*
 * Blocks the signals that PID 1 knows and takes them through a descriptor. Before anything else in
 * here.
 */
int process_start(struct failure *failure);

/* The first request for power-off, halt or reboot since the start; later ones change nothing. */
enum power process_power(void);

/* From now on waits are not ended by a request: the shutdown has begun. */
void process_ignore_power(void);

/*
 * For a process that somebody else has started. Of one whose end was reaped before anybody asked,
 * as that of a container is which ends at once, it knows as well.
 */
void child_watch(struct child *child, pid_t pid);

/* Watches it no longer; fine for one that is not watched. */
void child_forget(struct child *child);

/*
 * Waits until the child has ended; -1 when a request for power-off came first. Then forgets the
 * child.
 */
int child_wait(struct child *child);

/* As child_wait, but not beyond `deadline` (process_now; INT64_MAX: no limit): then -1 too. */
int child_wait_until(struct child *child, int64_t deadline);

/*
 * Starts a program, stdin from /dev/null, and watches it. -1 when it cannot fork; a failing exec is
 * exit status 127.
 */
int child_start(struct child *child, const char *const arguments[], int output, int error,
                struct failure *failure);

/* In a process of its own: becomes the program, stdin from /dev/null. */
_Noreturn void process_exec(const char *const arguments[], int output, int error);

/* Forks: 0 in the child, with default signals; else the child's pid, watched; -1. */
pid_t child_fork(struct child *child, struct failure *failure);

/*
 * A descriptor of interest: `ready` is called when there is something to read. Lives as long as it
 * is watched.
 */
struct watch {
    int descriptor;
    void (*ready)(struct watch *watch);
    struct watch *next;
};

void watch_add(struct watch *watch);
void watch_remove(struct watch *watch);

/*
 * Something to do at a time; 0: never. `due` is called once, with `at` cleared. Added once, for
 * good.
 */
struct timer {
    int64_t at; /* as process_now */
    void (*due)(struct timer *timer);
    struct timer *next;
};

void timer_add(struct timer *timer);

/* Called at the end of every round of the loop. */
void process_after(void (*hook)(void));

/* Milliseconds of CLOCK_BOOTTIME. */
int64_t process_now(void);

/* A request as if by signal. */
void process_request(enum power power);

/* "exit status 1" or "signal 9 (Killed)" */
void describe_status(int status, char *text, size_t size);

/*
 * Copies what arrives on `input` to `log` (unless -1), of which at most `room` bytes, and to the
 * console, to the end of input. Takes both descriptors.
 */
int relay_add(int input, int log, size_t room, struct failure *failure);

/* Passes on everything that has arrived until now. */
void relay_drain(void);

/*
 * One round of the loop: returns after something happened, or after `milliseconds` (-1: no limit).
 */
void process_events(int milliseconds);

#endif
