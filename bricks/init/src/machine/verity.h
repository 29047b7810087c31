/* verity.h: a block device whose blocks are checked against a hash tree (dm-verity). */
#ifndef COMPOS_VERITY_H
#define COMPOS_VERITY_H

#include "base/failure.h"

#include <stddef.h>

/* Blocks of 4096 bytes; the tree begins at block `start` of its device. Hashes are SHA-256. */
struct verity {
    unsigned long long blocks;
    unsigned long long start;
    const char *root; /* in hexadecimal, as `salt` */
    const char *salt;
    /* What corrects errors in the first `corrected` blocks, data and tree: where it begins on the
     * tree's device. */
    unsigned long long correction;
    unsigned long long corrected;
};

/*
 * Makes a read-only device over `device` with the tree on `tree`, which may be the same, and writes
 * its path to `path`. It lasts until the machine ends. Every read of a block that is not what the
 * tree says fails.
 */
int verity_open(const char *device, const char *tree, const struct verity *verity, char *path,
                size_t size, struct failure *failure);

/* Takes the device back, which nobody must have mounted. */
void verity_close(void);

#endif
