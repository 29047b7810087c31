/*
 * signature.h: what a disk, or a region of one, holds. Names what is known, and knows blank from
 * anything else: what is neither known nor blank (a plain dm-crypt volume, a database's raw
 * device) is somebody's data as well.
 */
#ifndef COMPOS_DISK_SIGNATURE_H
#define COMPOS_DISK_SIGNATURE_H

#include "base/failure.h"

#include <stdbool.h>
#include <stdint.h>

/* The part of an open disk, in bytes. */
struct region {
    int descriptor;
    uint64_t start;
    uint64_t size;
};

struct signature {
    const char *name; /* "ext4", "LUKS2", "LVM" */
    const char *what; /* "file system", "volume", "area" */
    char label[257];  /* empty: none */
    char uuid[41];    /* as blkid prints it; empty: none */
    uint64_t size;    /* bytes that a file system covers; 0: not known */
    bool mountable;
    bool unused; /* an ext2, ext3 or ext4, never mounted, without a file, and nothing else */
};

/*
 * 1: filled in; 0: no known signature; -1: the region cannot be read. Partition tables are
 * table.h's.
 */
int signature_read(const struct region *region, struct signature *signature,
                   struct failure *failure);

/* 1 when the first and the last MiB are all zeros or all ones; 0 when not; -1. */
int region_is_blank(const struct region *region, struct failure *failure);

#endif
