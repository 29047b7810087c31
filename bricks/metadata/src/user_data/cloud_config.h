/* cloud_config.h: what of a #cloud-config has a meaning in a system whose root does not change. */
#ifndef COMPOS_CLOUD_CONFIG_H
#define COMPOS_CLOUD_CONFIG_H

#include "json/json.h"
#include "result.h"

/*
 * Of a #cloud-config, its host name and SSH keys become the result's, its files are written below
 * /run/config/files, its users and commands if they are allowed. What is not carried out is
 * reported in one line.
 */
void cloud_config_apply(struct result *result, const char *bytes, size_t length);

/* The SSH keys of a user, or of the whole document. */
void cloud_config_keys(const struct json *holder, struct text *keys);
void cloud_config_add_keys(struct result *result, const struct json *holder);

#endif
