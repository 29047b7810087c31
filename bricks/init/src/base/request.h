/* request.h: asking PID 1 for something about a service, as `svc` and `dev` do. */
#ifndef COMPOS_REQUEST_H
#define COMPOS_REQUEST_H

#include "base/failure.h"

/* Where PID 1 listens (services/control.c). */
#define REQUEST_SOCKET "/run/compos/control"
/* The plan that "replace" reads. */
#define REQUEST_REPLACEMENT "/run/compos/replacement"

enum { REQUEST_SIZE = 512 };

/* Asks for `action` on the service `name`. -1 with the reason, which PID 1 gives. */
int request_send(const char *action, const char *name, struct failure *failure);

#endif
