/*
 * sealed.h: a program as a sealed copy in memory, for runtimes that would make one at each start.
 *
 * runc and crun do not run from a file that a container might write to: they look for the seals of
 * memfd_create(2), else for a file system that is read-only. On a tmpfs, which the root is in an
 * initramfs, they do not ask the second: each of their processes copies its program and starts
 * again from that, once or twice.
 */
#ifndef COMPOS_SEALED_H
#define COMPOS_SEALED_H

#include <stddef.h>

/*
 * Makes the copy, if the program stands on a tmpfs and there is none yet. Without one everything
 * works, only slower.
 */
void sealed_make(const char *program);

/* Gives the memory of a copy of more than this many bytes back. */
void sealed_drop(size_t most);

/* Becomes the program arguments[0] if that has a copy; returns if it has none. */
void sealed_exec(const char *const arguments[]);

/*
 * A path of the copy for processes that are not our children; `program` if it has none, or one of
 * more than `most` bytes.
 */
const char *sealed_path(const char *program, size_t most);

#endif
