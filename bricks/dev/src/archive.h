/*
 * archive.h: a cpio archive in the "newc" format (the kernel's Documentation/driver-api/
 * early-userspace/buffer-format.rst), unpacked while it arrives.
 */
#ifndef COMPOS_ARCHIVE_H
#define COMPOS_ARCHIVE_H

#include "base/failure.h"

#include <stdbool.h>
#include <stdio.h>

/*
 * Unpacks `stream` below `folder`. With `apart`, each file appears under its name at once and
 * whole, in the place of what was there, and a device 0:0 (overlayfs's whiteout) removes the file
 * of its name; otherwise such a device is made.
 */
int archive_unpack(FILE *stream, const char *folder, bool apart, struct failure *failure);

#endif
