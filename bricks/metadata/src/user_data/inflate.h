/* inflate.h: DEFLATE (RFC 1951), from strangers. */
#ifndef COMPOS_INFLATE_H
#define COMPOS_INFLATE_H

#include "base/failure.h"

#include <stddef.h>

/*
 * Decompresses what begins at `data` to `out`, at most `limit` bytes. Returns how many bytes of
 * `data` it took, and in `*length` how many it made; -1 with the reason.
 */
long inflate(const unsigned char *data, size_t size, unsigned char *out, size_t limit,
             size_t *length, struct failure *failure);

#endif
