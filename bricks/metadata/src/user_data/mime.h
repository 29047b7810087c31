/* mime.h: MIME messages (RFC 2045 and 2046), of which user data of several parts is made. */
#ifndef COMPOS_MIME_H
#define COMPOS_MIME_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

enum { MIME_TYPE = 128, MIME_BOUNDARY = 72 };

struct mime_part {
    char type[MIME_TYPE];         /* "text/plain", in small letters */
    char boundary[MIME_BOUNDARY]; /* of the parts in it, or empty */
    bool base64;
    const char *body;
    size_t length;
};

/* Whether the bytes begin with headers, among them MIME-Version. */
bool mime_is_message(const char *bytes, size_t length);

/* The headers and body of a message or part. */
int mime_read(const char *bytes, size_t length, struct mime_part *part, struct failure *failure);

/*
 * The part behind the next line with the boundary of `whole`: begin with `*at` 0. 1, or 0 behind
 * the last. A part ends where the next boundary is, or the whole.
 */
int mime_next(const struct mime_part *whole, size_t *at, const char **bytes, size_t *length);

#endif
