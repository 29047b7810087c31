/*
 * header.h: the LUKS2 header of a volume: which slots, tokens and segments there are. What is read
 * comes from the disk, and nothing trusts it; numbers are as they stand there.
 */
#ifndef COMPOS_HEADER_H
#define COMPOS_HEADER_H

#include "json/json.h"

#include <stdint.h>

enum { HEADER_UUID = 37, HEADER_MOST = 1 << 20 };

struct header {
    char *text;
    struct json *root;
    uint64_t sequence; /* the copy with the higher one counts */
    size_t size;       /* of one copy, bytes */
    char uuid[HEADER_UUID];
};

/* Of the volume that begins `start` bytes behind the beginning of an open device. */
int header_read(int device, uint64_t start, struct header *header, struct failure *failure);

/* Of all of a device. */
int header_read_node(const char *node, struct header *header, struct failure *failure);

void header_free(struct header *header);

/*
 * Writes both copies with other contents, and syncs each: whenever it is interrupted, one of the
 * old and the new one is whole. `header` gives size and UUID, and the sequence, which grows.
 */
int header_write(int device, uint64_t start, struct header *header, const char *text,
                 struct failure *failure);

/* The first token of that type behind `before`, or of all with NULL; NULL if there is none. */
const struct json *header_token(const struct header *header, const struct json *before,
                                const char *type);

/* The lowest number that no key slot, or no token, has. */
int header_unused(const struct header *header, const char *section);

/* A member that is a number, or a string with one; `most` + 1 if there is none or it is larger. */
uint64_t header_number(const struct json *object, const char *name, uint64_t most);

#endif
