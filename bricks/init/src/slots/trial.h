/*
 * trial.h: init's part in the life of slots: a new version has one try to become good; whatever
 * happens instead, the machine starts again, and firmware takes the old one. Why is kept for it.
 *
 * All of it is for systems whose kernel's command line has `compos.slots=SECONDS`; of others these
 * functions do nothing.
 */
#ifndef COMPOS_TRIAL_H
#define COMPOS_TRIAL_H

#include <stdbool.h>

/* In the small initrd, when there are /proc and /sys: from here on the trial counts. */
void trial_enter_initrd(void);

/* Each time that no root was found; `reason` is what was last wrong with one. May not return. */
void trial_miss_root(const char *reason);

/* Whether this version is on trial. */
bool trial_runs(void);

/* The root is there, but cannot be used. On trial, this does not return. */
void trial_lose_root(const char *reason);

/* In the system, when its drivers are loaded. Tells how the last trial has ended. */
void trial_begin(void);

/*
 * Something went wrong that ends a trial: on trial, it is kept as the reason, the machine is to
 * start again, and this is true.
 */
bool trial_give_up(const char *reason);

/* The system goes down in an orderly way. */
void trial_end(void);

#endif
