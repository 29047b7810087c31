/*
 * schedule.h: when this machine looks for an update, and whether it is one of the first that take
 * it. Nothing here asks for the time or the machine.
 */
#ifndef COMPOS_SCHEDULE_H
#define COMPOS_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

/* A part of each day, in UTC, in seconds; it may go beyond midnight. Of length 0: all of it. */
struct schedule_window {
    uint32_t start, length;
};

/* How far a version is to spread. */
struct schedule_rollout {
    char version[65];
    uint32_t share; /* of 10,000 machines */
};

/* Whether a moment, in seconds since 1970, is in the window. */
bool schedule_open(struct schedule_window window, uint64_t now);

/*
 * Seconds to sleep for one who wants to wake in `wait` seconds: to that moment, or, if the window
 * is closed then, to one of the next window, which `chance` chooses.
 */
uint64_t schedule_wait(struct schedule_window window, uint64_t now, uint64_t wait, uint32_t chance);

/* Seconds until the window is open; 0 if it is. */
uint64_t schedule_until(struct schedule_window window, uint64_t now);

/* Reads "1.5.0 25" or "1.5.0 0.5%": a version and a percentage. -1 for anything else. */
int schedule_rollout(struct schedule_rollout *rollout, const char *text);

/*
 * Whether a machine is among those that a version is for. A machine that is among the first tenth
 * is among the first quarter; which machines are the first is another matter for each version.
 */
bool schedule_takes(const struct schedule_rollout *rollout, const char *machine);

#endif
