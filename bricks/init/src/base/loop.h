/* loop.h: loop devices. */
#ifndef COMPOS_LOOP_H
#define COMPOS_LOOP_H

#include <linux/loop.h>
#include <stddef.h>

/*
 * The next free device becomes what `config` says, and is opened with the `flags` of open(2): its
 * descriptor, with its path in `path`. -1 with errno.
 */
int loop_attach(const struct loop_config *config, int flags, char *path, size_t size);

#endif
