/*
 * ovf_env.h: an OVF environment, in which vSphere hands over properties, and Azure its provisioning
 * data: an XML document.
 */
#ifndef COMPOS_OVF_ENV_H
#define COMPOS_OVF_ENV_H

#include "result.h"

enum { MAX_OVF_ENV = 1 << 20 };

/*
 * Host name, instance's id, SSH keys, user data and network configuration become the result's. A
 * document that is invalid is reported, and nothing of it is used. `text` ends with a zero byte,
 * and is changed.
 */
void ovf_env_apply(struct result *result, char *text, size_t length);

#endif
