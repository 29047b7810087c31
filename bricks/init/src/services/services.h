/*
 * services.h: the stage `services`: every service is started when what it depends on is there,
 * watched, started again as its policy says, and stopped in the reverse order. PID 1 never waits
 * for one of them: each has a state (service.h) that events move on.
 */
#ifndef COMPOS_SERVICES_H
#define COMPOS_SERVICES_H

#include "boot/plan.h"

#include <stdbool.h>

/*
 * Begins the stage: returns when every service has been started once, or cannot be. They are
 * watched from then on.
 */
void services_stage(const struct plan *plan);

/* Stops all, each after those that depend on it. Returns when they have ended. */
void services_stop(void);

/*
 * What somebody asks for with `svc`: "start", "stop" or "restart", and a name. A message, or NULL
 * when it is done.
 */
const char *services_request(const char *action, const char *name);

#endif
