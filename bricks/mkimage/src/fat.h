/*
 * fat.h: a FAT32 file system with a few files in its root, each in one run of clusters, so that a
 * boot loader finds it by its place. Source: Microsoft, "FAT: General Overview of On-Disk Format"
 * 1.03.
 */
#ifndef COMPOS_FAT_H
#define COMPOS_FAT_H

#include "base/failure.h"

#include <stddef.h>
#include <stdint.h>

enum { FAT_SECTOR = 512 };

/* A file to be; `start` is filled in: bytes from the beginning of the file system. */
struct fat_file {
    const char *name; /* 8.3, in 11 bytes, padded with blanks */
    uint64_t size;
    uint64_t start;
};

/* In sectors, but for `cluster`, which is in bytes. */
struct fat_shape {
    uint32_t cluster;
    uint32_t clusters;
    uint32_t table;
    uint32_t data;
    uint64_t sectors;
};

/* The smallest file system that holds the files; lays them down. */
void fat_plan(struct fat_file files[], size_t count, struct fat_shape *shape);

/*
 * Writes everything but the files' contents at `offset` of the open disk, which `hidden` sectors
 * stand in front of. Whatever is not written must be zeros: the rest of the tables.
 */
int fat_write(int disk, uint64_t offset, const struct fat_shape *shape,
              const struct fat_file files[], size_t count, uint32_t serial,
              struct failure *failure);

#endif
