/* root.h: the root filesystem as containers need it: under a parent mount, read-only, shared. */
#ifndef COMPOS_ROOT_H
#define COMPOS_ROOT_H

#include "base/failure.h"

#include <stdbool.h>

/* Whether / is what the kernel unpacked into memory. */
bool root_is_initial(void);

/*
 * Leaves the initial root filesystem where that is what the kernel booted from. Nothing is copied:
 * a bind mount of / is moved over / and becomes the root, and pivot_root(2), which refuses the
 * initial root itself, has a parent mount to work with. The root is then read-only and shared. Goes
 * on after an error; the last one is reported.
 */
int root_prepare(struct failure *failure);

#endif
