/* stage.h: the lines of a stage that concern no container. */
#ifndef COMPOS_STAGE_H
#define COMPOS_STAGE_H

#include "boot/plan.h"

/* Carries out one line outside containers. Its failure is reported on the console. */
void stage_line(const struct plan_line *line);

/* The stage `boot`. */
void stage_boot(const struct plan *plan);

#endif
