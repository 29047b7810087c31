/* services.h: the stage `services`: containerd, and the services under it. */
#ifndef COMPOS_SERVICES_H
#define COMPOS_SERVICES_H

#include "plan.h"

/* Starts containerd, then all services at once, each failure told on the console. Returns when every one is decided. */
void services_stage(const struct plan *plan);

/* Says, once, that containerd has died. */
void services_check(void);

#endif
