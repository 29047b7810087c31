/* passwords.h: "chpasswd" of a #cloud-config: hashed passwords of users (--users). */
#ifndef COMPOS_PASSWORDS_H
#define COMPOS_PASSWORDS_H

#include "json/json.h"
#include "result.h"

/* Sets them in the result's accounts; what is refused is reported, without the password. */
void passwords_apply(struct result *result, const struct json *chpasswd);

#endif
