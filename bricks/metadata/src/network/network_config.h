/* network_config.h: network configuration of metadata: saved always, carried out if allowed. */
#ifndef COMPOS_NETWORK_CONFIG_H
#define COMPOS_NETWORK_CONFIG_H

#include "json/json.h"
#include "result.h"

/*
 * A document of cloud-init's version 1 or 2, or OpenStack's, which has links; `name` is that of the
 * file in /run/config.
 */
void network_config_apply(struct result *result, const char *name, const char *bytes,
                          size_t length);

/* As that, of a part of a document. */
void network_config_apply_tree(struct result *result, const struct json *root);

#endif
