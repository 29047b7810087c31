/*
 * oneshot.h: the stages whose containers run one after another, each to its end: onboot and
 * shutdown.
 */
#ifndef COMPOS_ONESHOT_H
#define COMPOS_ONESHOT_H

#include "boot/plan.h"

/*
 * Carries out the beginning of the stage onboot, up to the first container that does not unseal;
 * the stage itself goes on there.
 */
void oneshot_unseal(const struct plan *plan);

/*
 * Carries out a stage. `label` names it in log files and messages ("onboot", "shutdown"). A failing
 * container is named on the console and the next one follows. Ends early on a request for
 * power-off, unless those are ignored.
 */
void oneshot_stage(const struct plan *plan, enum plan_stage stage, const char *label);

#endif
