/*
 * service_helper.h: what takes time around a service: creating it, clearing up, looking whether it
 * is healthy. Each is done in a process of its own, so that PID 1 never waits; what PID 1 must know
 * comes back through one pipe.
 */
#ifndef COMPOS_SERVICE_HELPER_H
#define COMPOS_SERVICE_HELPER_H

#include "services/service.h"

enum report_kind { REPORT_PID, REPORT_STATUS, REPORT_PREPARED };

struct report {
    uint32_t service; /* its position */
    uint32_t kind;
    int32_t value;
};

/*
 * `socket`: containerd's, NULL for containers straight under the OCI runtime. `reports`: the pipe's
 * writing end.
 */
struct helpers {
    const char *socket;
    int reports;
};

/* All run in the helper process; their result is its exit status. */
int service_helper_start(const struct helpers *helpers, const struct service *service,
                         uint32_t position);
int service_helper_clean(const struct helpers *helpers, const struct service *service,
                         uint32_t position);
int service_helper_test(const struct helpers *helpers, const struct service *service);

/* Kills a health check that takes too long. In PID 1. */
void service_helper_kill_test(const struct service *service);

#endif
