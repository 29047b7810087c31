/*
 * mapper.h: block devices that the kernel makes of others (device mapper), each of one target.
 *
 * Source: Linux, include/uapi/linux/dm-ioctl.h.
 */
#ifndef COMPOS_MAPPER_H
#define COMPOS_MAPPER_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

enum { MAPPER_PARAMETERS = 1024 };

struct mapper_target {
    const char *type;
    const char *parameters; /* less than MAPPER_PARAMETERS bytes */
    unsigned long long sectors;
    bool read_only;
};

/* Makes the device `name`, and writes its path, "/dev/dm-0", to `path`. */
int mapper_make(const char *name, const struct mapper_target *target, char *path, size_t size,
                struct failure *failure);

/* Takes it back; nobody must use it. */
void mapper_remove(const char *name);

#endif
