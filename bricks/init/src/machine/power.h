/* power.h: the end: of the system, and the commands that ask for it. */
#ifndef COMPOS_POWER_H
#define COMPOS_POWER_H

#include "base/process.h"
#include "boot/plan.h"

/* The stage `shutdown`, the end of all processes, unmounting, reboot(2). Does not return. */
_Noreturn void power_down(const struct plan *plan, enum power power);

/*
 * poweroff, reboot, halt [-f] [-n] [-d SECONDS]: asks PID 1, or with -f the kernel. The exit
 * status.
 */
int power_command(enum power power, int count, char *const arguments[]);

#endif
