/*
 * cgroup.h: the control groups: one hierarchy of version 2, or version 1's many where the command
 * line asks for them.
 */
#ifndef COMPOS_CGROUP_H
#define COMPOS_CGROUP_H

#include "base/failure.h"

#include <stdbool.h>

/*
 * Whether a `mount` line for cgroup2 is to be carried out as version 1
 * (linuxkit.unified_cgroup_hierarchy=0).
 */
bool cgroup_is_v1(const char *const argument[]);

/*
 * A tmpfs on `target`, and below it a hierarchy for each controller that the kernel has enabled,
 * and systemd's named one.
 */
int cgroup_mount_v1(const char *target, struct failure *failure);

#endif
