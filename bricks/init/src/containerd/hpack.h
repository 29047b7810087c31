/*
 * hpack.h: finding one header in a compressed header block (RFC 7541). Touches nothing but memory.
 */
#ifndef COMPOS_HPACK_H
#define COMPOS_HPACK_H

#include <stddef.h>
#include <stdint.h>

/*
 * Called for each header with a literal name; name and value are NUL-terminated and cut to what
 * fits.
 */
typedef void hpack_header(void *context, const char *name, const char *value);

/*
 * Walks a whole header block. -1 when it is malformed. We announce a dynamic table of size 0: none
 * is kept, and a reference to it is malformed.
 */
int hpack_walk(const uint8_t *block, size_t length, hpack_header *header, void *context);

/*
 * Decodes a Huffman-coded string into `out` (NUL-terminated, cut to `size`). -1 when it is
 * malformed or contains NUL.
 */
int hpack_huffman(const uint8_t *data, size_t length, char *out, size_t size);

#endif
