/*
 * archive.h: kernel, initrd and command line in a tar, as `-f tar-kernel-initrd` writes it, on a
 * disk. Source: POSIX.1-2017, pax, "ustar Interchange Format".
 */
#ifndef COMPOS_ARCHIVE_H
#define COMPOS_ARCHIVE_H

#include "disk/table.h"

enum { ARCHIVE_KERNEL, ARCHIVE_CMDLINE, ARCHIVE_INITRD, ARCHIVE_FILES };

/* Where a file's bytes are on the disk. */
struct archive_file {
    uint64_t start;
    uint64_t size;
};

/* Whether the disk begins as a tar does; -1 when it cannot be read. */
int archive_is_there(const struct disk *disk, struct failure *failure);

/*
 * Finds the three files; a command line may be missing. Sizes are at most 32 bits, and within the
 * disk.
 */
int archive_read(const struct disk *disk, struct archive_file files[ARCHIVE_FILES],
                 struct failure *failure);

#endif
