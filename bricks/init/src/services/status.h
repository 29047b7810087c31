/*
 * status.h: how the services are, as files: /run/compos/status, a line each, and
 * /run/compos/status.json.
 */
#ifndef COMPOS_STATUS_H
#define COMPOS_STATUS_H

#include "services/service.h"

#define STATUS_FILE "/run/compos/status"
#define STATUS_JSON "/run/compos/status.json"

/* Writes both anew, each whole or not at all. */
void status_write(const struct service *services, size_t count);

#endif
