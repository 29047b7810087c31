/*
 * table.h: partition tables: MBR and GPT. Reading checks what it believes; writing is made so that
 * one sector decides, whatever a power cut leaves of the rest.
 */
#ifndef COMPOS_DISK_TABLE_H
#define COMPOS_DISK_TABLE_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum table_kind { TABLE_NONE, TABLE_MBR, TABLE_GPT };

enum { TABLE_MOST = 128, PARTITION_NAME = 37 };

struct partition {
    unsigned number;           /* as in sda1 */
    uint64_t start;            /* bytes */
    uint64_t size;             /* bytes */
    bool linux_data;           /* type 0x83, or GPT's "Linux filesystem data" */
    uint8_t guid[16];          /* of a GPT, as it stands on disk */
    char name[PARTITION_NAME]; /* of a GPT */
};

/* An open disk and what it is measured in. */
struct disk {
    int descriptor;
    uint64_t size;   /* bytes */
    uint32_t sector; /* bytes */
};

struct table {
    enum table_kind kind;
    bool unfinished; /* `format` has begun here, and has not come to its end */
    bool damaged;    /* a GPT of which only the copy at the end of the disk is whole */
    size_t count;
    struct partition partitions[TABLE_MOST];
    uint64_t header_place; /* sector of the GPT header that was read */
};

/* TABLE_NONE is no failure. Logical partitions are not listed, the extended one is. */
int table_read(const struct disk *disk, struct table *table, struct failure *failure);

/* "MBR" or "GPT" */
const char *table_name(enum table_kind kind);

/* The one partition that table_begin and table_finish make, by the size of the disk. */
int table_plan(const struct disk *disk, enum table_kind kind, struct partition *partition,
               struct failure *failure);

/*
 * Writes and syncs the mark that the disk is being formatted: an MBR, one sector, with the
 * partition of a type that nobody mounts. Then clears what older tables and file systems have left
 * at both ends of the disk and of the partition.
 */
int table_begin(const struct disk *disk, const struct partition *partition,
                struct failure *failure);

/*
 * Puts the table that is asked for in place of the mark: what is not in the first sector is written
 * and synced before it.
 */
int table_finish(const struct disk *disk, enum table_kind kind, const struct partition *partition,
                 struct failure *failure);

/* What an image of a disk with a GPT begins with, up to the end of its entries; bytes. */
enum { TABLE_HEAD = 34 * 512 };

/*
 * Puts the table of an image in place of the mark, for this disk's size. `head` are the image's
 * first TABLE_HEAD bytes; the rest of the image is on the disk and synced.
 */
int table_adopt(const struct disk *disk, const uint8_t *head, struct failure *failure);

/*
 * Gives the last partition of the table all that is behind it. Of a GPT, the copy at the end of the
 * disk is written and synced first; then the first one, so that it is whole
 * at any moment if the partition leaves room for a second set of entries.
 */
int table_extend(const struct disk *disk, const struct table *table, uint64_t size,
                 struct failure *failure);

/*
 * Writes the entry of a GPT that has the partition's number: a new one of its name where that is
 * free, else the old one with another size.
 */
int table_set(const struct disk *disk, const struct table *table, const struct partition *partition,
              struct failure *failure);

/* The most bytes that the only partition of the table may have. */
uint64_t table_room(const struct disk *disk, const struct table *table);

#endif
