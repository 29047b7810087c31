/* users.h: the users and groups of a #cloud-config, as files for containers (--users). */
#ifndef COMPOS_USERS_H
#define COMPOS_USERS_H

#include "json/json.h"
#include "result.h"

/* Adds them to the result's accounts; who is refused is reported. */
void users_apply(struct result *result, const struct json *root);

#endif
