/*
 * payload.h: the system on the installer's medium: the parts of its disk that are not zeros, one
 * behind the other in a file, and a list of where each goes and what its SHA-256 is.
 */
#ifndef COMPOS_PAYLOAD_H
#define COMPOS_PAYLOAD_H

#include "disk/sha256.h"
#include "disk/table.h"

enum { PAYLOAD_PARTS = 64, PAYLOAD_NAME = 128, PAYLOAD_VOLUMES = 2, PAYLOAD_VOLUME = 32 };

struct payload_part {
    uint64_t offset; /* on the disk, bytes */
    uint64_t length;
    uint8_t digest[SHA256_SIZE];
};

/* A partition that is encrypted when it is written; its parts are what is in it then. */
struct payload_volume {
    uint64_t offset;
    uint64_t size;
    char name[PAYLOAD_VOLUME];
};

struct payload {
    char name[PAYLOAD_NAME]; /* what the system is called */
    int descriptor;          /* of the parts */
    uint64_t size;           /* bytes that the disk must have */
    uint64_t length;         /* bytes of all parts */
    size_t count;
    struct payload_part parts[PAYLOAD_PARTS]; /* in order, the first with the table's head */
    size_t volume_count;
    struct payload_volume volumes[PAYLOAD_VOLUMES];
    bool recovery; /* whether they get a recovery key, which is shown once */
};

/* Reads `folder`/parts and opens `folder`/data. */
int payload_open(struct payload *payload, const char *folder, struct failure *failure);

/*
 * Writes the system to an open disk, whose old contents are lost, and syncs it. Until the table is
 * written, last, the disk has the mark of an unfinished format (table.h). `path` is the disk's.
 */
int payload_write(const struct payload *payload, const struct disk *disk, const char *path,
                  struct failure *failure);

#endif
