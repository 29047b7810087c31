/* block.h: the machine's disks and their partitions, as the kernel shows them below /sys. */
#ifndef COMPOS_DISK_BLOCK_H
#define COMPOS_DISK_BLOCK_H

#include "disk/table.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum { BLOCK_NAME = 64, BLOCK_MOST = 256, BLOCK_PATH = PATH_MAX };

struct block_list {
    size_t count;
    char names[BLOCK_MOST][BLOCK_NAME]; /* "sda", "nvme0n1", "sda1" */
};

/*
 * Disks that can be written, sorted: no partitions, loop devices, optical drives, or what is made
 * of other disks.
 */
int block_disks(struct block_list *list, struct failure *failure);

/* A disk's partitions, by number. */
int block_partitions(const char *disk, struct block_list *list, struct failure *failure);

/* Every block device that holds something, partitions and mappings among them; sorted. */
int block_all(struct block_list *list, struct failure *failure);

/* Whether a name is that of a partition, and then its number. */
unsigned block_partition_number(const char *name);

/* The disk that a partition is on. */
int block_parent(const char *partition, char *disk, size_t size);

/* "/dev/sda1" of a disk's path and a partition's number: a "p" between two digits. */
void block_partition_path(const char *disk, unsigned number, char *path, size_t size);

/* "/dev/NAME" */
void block_path(const char *name, char *path, size_t size);

/* The kernel's name of a device's path, symbolic links followed; -1 when it is none. */
int block_name(const char *path, char *name, size_t size, struct failure *failure);

/* Opens and measures; a regular file counts as a disk of sectors of 512 bytes. */
int disk_open(struct disk *disk, const char *path, int flags, struct failure *failure);

/*
 * The kernel's view: all partitions gone, partition 1 there, partition of another size. One that it
 * has not seen, because the GPT was damaged, is added.
 */
int disk_forget_partitions(const struct disk *disk, struct failure *failure);
int disk_add_partition(const struct disk *disk, const struct partition *partition,
                       struct failure *failure);
int disk_resize_partition(const struct disk *disk, const struct partition *partition,
                          struct failure *failure);

/* Waits until a device's node is there, five seconds at most. */
int block_wait(const char *path, struct failure *failure);

#endif
