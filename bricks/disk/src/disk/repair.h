/* repair.h: what a power cut can do to a file system that the kernel does not mend by itself. */
#ifndef COMPOS_DISK_REPAIR_H
#define COMPOS_DISK_REPAIR_H

#include "base/failure.h"

/*
 * mount(2) of a file system that is not in use. While ext4 grows, its superblock may be on the disk
 * before the descriptors of the new groups, and on a disk that writes single sectors half of a
 * superblock: the kernel refuses both before it has looked into the journal. e2fsck, through PATH,
 * replays the journal and does what is safe without questions (-p). Half of a superblock of btrfs
 * is replaced by its copy. Then it is tried again. A journal that has to be replayed, e2fsck replays
 * first: the kernel would not see that the file system has grown.
 */
int repair_mount(const char *node, const char *point, const char *type, unsigned long flags,
                 struct failure *failure);

/*
 * Before it grows: ext4 that the kernel has marked as having errors, because the disk has failed,
 * is repaired fully. Nothing is done without the mark, or to what is in use.
 */
int repair_errors(const char *node, struct failure *failure);

/* ext4 that is not in use: e2fsck does what is safe and, if that is not enough, all else (-y). */
int repair_fully(const char *node, struct failure *failure);

#endif
