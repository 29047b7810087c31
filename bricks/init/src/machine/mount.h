/*
 * mount.h: mounts as the plan's lines describe them: fstab words become flags, the rest is the
 * filesystem's data.
 */
#ifndef COMPOS_MOUNT_H
#define COMPOS_MOUNT_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

struct mount_options {
    unsigned long flags;       /* MS_RDONLY and such, MS_BIND, MS_REC, MS_REMOUNT */
    unsigned long propagation; /* MS_SHARED and such, perhaps with MS_REC; 0 for none */
    char data[4096];           /* what is no fstab word, joined with commas */
};

/* Reads a comma list. -1 when the data does not fit in a page, which is the kernel's limit. */
int mount_options_read(struct mount_options *options, const char *list);

/*
 * Mounts on an existing target. `type` may be empty with bind and remount. A bind with per-mount
 * flags is remounted with them, a propagation is set by a call of its own, both because the kernel
 * ignores them otherwise (mount(2)). -1 with errno.
 */
int mount_on(const char *source, const char *target, const char *type,
             const struct mount_options *options);

/*
 * A plan line: makes the target (a file when a file is bound) and the directories of upperdir= and
 * workdir=, and mounts. A relative target is below `root`.
 */
int mount_line(const char *const argument[], const char *root, struct failure *failure);

/*
 * As mount_line on absolute targets: silent when the filesystem is unknown or its place cannot be
 * made.
 */
int mount_line_optional(const char *const argument[], const char *root, struct failure *failure);

#endif
