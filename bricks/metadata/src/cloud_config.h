/* cloud_config.h: what of a #cloud-config has a meaning in a system whose root does not change. */
#ifndef COMPOS_CLOUD_CONFIG_H
#define COMPOS_CLOUD_CONFIG_H

#include "result.h"

/*
 * If the user data is a #cloud-config: its host name and SSH keys become the result's, its files
 * are written below /run/config/files. What is not carried out is reported in one line.
 */
void cloud_config_apply(struct result *result);

#endif
