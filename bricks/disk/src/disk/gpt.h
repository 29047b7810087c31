/* gpt.h: the GUID partition table; table.h decides when there is one. */
#ifndef COMPOS_DISK_GPT_H
#define COMPOS_DISK_GPT_H

#include "disk/table.h"

/* 1: filled in; 0: no whole header of the two; -1. */
int gpt_read(const struct disk *disk, struct table *table, struct failure *failure);

/* Where partitions must end: the copy of the table follows. */
uint64_t gpt_end(const struct disk *disk);

/* Both copies of a table with one partition, and syncs them. */
int gpt_write(const struct disk *disk, const struct partition *partition, struct failure *failure);

/*
 * Both copies of an image's table, whose first sectors are `head` (the protective record, the
 * header, the entries), for a disk of another size; synced in this order: the copy, the entries,
 * the header.
 */
int gpt_adopt(const struct disk *disk, const uint8_t *head, struct failure *failure);

/*
 * The table as it is but for the disk's end and one partition: where its number is free, a new one
 * of `partition`'s name, else the old one with another size. At every moment Linux finds either the
 * old table or the new one.
 */
int gpt_set(const struct disk *disk, const struct table *table, const struct partition *partition,
            struct failure *failure);

#endif
