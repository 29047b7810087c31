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
 * when it is done. "replace" restarts it as the plan /run/compos/replacement has it, "add" starts
 * one that the system has not had, "drop" stops one that it has no more (docs/dev.md).
 */
const char *services_request(const char *action, const char *name);

/* What becomes of the services, all of them together. */
enum verdict { VERDICT_PENDING, VERDICT_WELL, VERDICT_FAILED };

/* Whether the stage has done what it does by itself. */
bool services_have_started(void);

/*
 * Whether all services run, or have ended as they should, and those with health checks are healthy.
 * Unless they are well, `reason` names the first one that is not.
 */
enum verdict services_judge(char *reason, size_t size);

#endif
