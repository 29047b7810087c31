/* gzip.c: see gzip.h. */
#include "user_data/gzip.h"

#include "base/crc32.h"
#include "user_data/inflate.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* RFC 1952, 2.3: flags, and the sizes of what is always there. */
enum { HEADER = 10, TRAILER = 8, CHECKSUM = 2, EXTRA = 4, NAME = 8, COMMENT = 16, RESERVED = 224 };

bool gzip_is(const char *bytes, size_t length)
{
    return length > 2 && memcmp(bytes, "\x1f\x8b\x08", 3) == 0;
}

static uint32_t gzip_number(const unsigned char *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* Behind the zero byte that ends what begins at `at`. */
static size_t gzip_skip_text(const unsigned char *data, size_t size, size_t at)
{
    while (at < size && data[at])
        at++;
    return at + 1;
}

/* Where a member's compressed data begins; beyond `size` if it is cut. */
static size_t gzip_data(const unsigned char *data, size_t size)
{
    size_t at = HEADER;
    if (size < HEADER + 2 || data[3] & RESERVED)
        return size + 1;
    if (data[3] & EXTRA)
        at += 2 + ((size_t)data[at] | (size_t)data[at + 1] << 8);
    if (data[3] & NAME)
        at = gzip_skip_text(data, size, at);
    if (data[3] & COMMENT)
        at = gzip_skip_text(data, size, at);
    return at + (data[3] & CHECKSUM ? 2 : 0);
}

/* Decompresses one member behind the `*made` bytes of `out`. Its size, or -1. */
static long gzip_member(const unsigned char *data, size_t size, unsigned char *out, size_t limit,
                        size_t *made, struct failure *failure)
{
    size_t begin = gzip_data(data, size), length;
    if (!gzip_is((const char *)data, size) || begin > size)
        return failed(failure, "no gzip, or cut in its head");
    long taken = inflate(data + begin, size - begin, out + *made, limit - *made, &length, failure);
    if (taken < 0)
        return -1;
    size_t end = begin + (size_t)taken;
    if (size - end < TRAILER)
        return failed(failure, "gzip, cut at its end");
    if (gzip_number(data + end) != crc32_of(out + *made, length) ||
        gzip_number(data + end + 4) != (uint32_t)length)
        return failed(failure, "gzip whose checksum is another");
    *made += length;
    return (long)(end + TRAILER);
}

char *gzip_decompress(const char *bytes, size_t length, size_t limit, size_t *size,
                      struct failure *failure)
{
    const unsigned char *data = (const unsigned char *)bytes;
    unsigned char *out = malloc(limit + 1);
    *size = 0;
    if (!out) {
        failed_errno(failure, "gzip");
        return NULL;
    }
    do {
        long taken = gzip_member(data, length, out, limit, size, failure);
        if (taken < 0) {
            free(out);
            return NULL;
        }
        data += taken;
        length -= (size_t)taken;
    } while (gzip_is((const char *)data, length));
    out[*size] = '\0';
    return (char *)out;
}
