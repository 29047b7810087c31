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
 * The table as it is but for the disk's end and the size of its only partition: the copy first,
 * synced, then header and first entries in one write.
 */
int gpt_extend(const struct disk *disk, const struct table *table, uint64_t size,
               struct failure *failure);

#endif
