/*
 * place.h: the data partition: the disk that it is on, its entry in that disk's GPT, and whether
 * what is on it is complete.
 *
 * The disk's last usable sector, which the partition leaves free, says MARK from before the
 * partition has its entry until all that belongs on it is there.
 */
#ifndef COMPOS_PLACE_H
#define COMPOS_PLACE_H

#include "disk/block.h"

#define PLACE_NAME "data"

struct place {
    struct disk disk;
    struct partition partition;
    char node[BLOCK_PATH]; /* of the partition */
    bool blank;            /* nothing is on it, or something that was not completed */
    bool changed;          /* its entry has been written just now */
};

/* What is asked for. */
struct place_wish {
    const char *device; /* the disk; NULL: the one that the firmware has booted from */
    uint64_t size;      /* bytes; 0: all that is free behind the last partition */
    bool fixed;         /* a table that is once written stays as it is */
};

/*
 * Finds the partition, or makes its entry; gives one that has an entry the room behind it. To be
 * closed, also after a failure.
 */
int place_find(struct place *place, const struct place_wish *wish, struct failure *failure);
void place_close(struct place *place);

/* What is on the partition has been synced, and is complete. */
int place_complete(struct place *place, struct failure *failure);

#endif
