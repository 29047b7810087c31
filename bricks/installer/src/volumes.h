/*
 * volumes.h: the partitions of an installed system whose roots are encrypted with keys that only
 * this machine's TPM releases: made, and open while they are written.
 */
#ifndef COMPOS_VOLUMES_H
#define COMPOS_VOLUMES_H

#include "disk/table.h"
#include "payload.h"
#include "seal/recovery.h"

struct volumes {
    const struct payload *payload;
    int descriptors[PAYLOAD_VOLUMES]; /* of their contents; -1 */
    char recovery[RECOVERY_TEXT];     /* to be shown once, and wiped */
};

/*
 * Whether keys can be sealed to this machine as it is now: what has started the installer is what
 * will start the system.
 */
int volumes_check(const struct payload *payload, struct failure *failure);

/* `path` is the disk's. To be closed, also after a failure; without volumes, nothing is done. */
int volumes_make(struct volumes *volumes, const struct payload *payload, const struct disk *disk,
                 const char *path, struct failure *failure);

/* The device that takes what belongs at `*offset` of the disk, and where on it that is. */
int volumes_place(const struct volumes *volumes, const struct disk *disk, uint64_t *offset);

/* Syncs what was written. */
int volumes_close(struct volumes *volumes, struct failure *failure);

#endif
