/*
 * candidate.h: the machine's disks, as somebody who has to choose one sees them, and which of them
 * a rule means.
 */
#ifndef COMPOS_CANDIDATE_H
#define COMPOS_CANDIDATE_H

#include "disk/block.h"
#include "payload.h"
#include "rules.h"

enum { CANDIDATE_TEXT = 96, CANDIDATE_CONTENTS = 400, CANDIDATE_MOST = 64 };

struct candidate {
    char name[BLOCK_NAME]; /* "sda" */
    char path[BLOCK_PATH]; /* "/dev/sda" */
    char model[CANDIDATE_TEXT];
    char serial[CANDIDATE_TEXT];
    char wwid[CANDIDATE_TEXT]; /* "naa.5000c500a1b2c3d4" */
    uint64_t size;             /* bytes */
    bool removable;            /* a card, or on USB */
    bool blank;                /* nothing is on it, or what an interrupted installer has left */
    char contents[CANDIDATE_CONTENTS]; /* what is on it, for a person */
    char obstacle[CANDIDATE_CONTENTS]; /* why it cannot be taken at all; empty: it can */
};

struct candidates {
    size_t count;
    struct candidate disks[CANDIDATE_MOST];
};

/* Every disk that there is; those that appear late are waited for. Sorted by name. */
int candidate_list(struct candidates *list, const struct payload *payload, uint64_t least,
                   struct failure *failure);

/* Looks at the disk, or file, at a path. */
int candidate_look(struct candidate *candidate, const char *path, const struct payload *payload,
                   uint64_t least, struct failure *failure);

/*
 * Whether a disk is the one that is meant: by `serial:SERIAL`, a name of udev's for it below
 * /dev/disk/by-id, or the path of its node.
 */
bool candidate_is(const struct candidate *candidate, const char *meant);

/* The disk that the rules mean and allow; NULL with a failure that says why there is none. */
const struct candidate *candidate_choose(const struct candidates *list, const struct rules *rules,
                                         struct failure *failure);

/* "QEMU HARDDISK, serial 17, 512 MiB": what can be known of it, in one line. */
void candidate_describe(const struct candidate *candidate, char *text, size_t size);

#endif
