/*
 * grow.h: file systems that take the room behind them.
 *
 * The kernel grows ext4, xfs and btrfs while they are mounted, and its journals make that safe
 * against a power cut (almost: repair.h). So a file system is mounted here for the moment, beside
 * wherever else it is mounted.
 */
#ifndef COMPOS_DISK_GROW_H
#define COMPOS_DISK_GROW_H

#include "base/failure.h"

#include <stdbool.h>
#include <stdint.h>

bool grow_is_possible(const char *type);

/* The file system of a type that can grow, to `size` bytes of its device. */
int grow_filesystem(const char *node, const char *type, uint64_t size, struct failure *failure);

#endif
