/* hpack.c: see hpack.h. */
#include "containerd/hpack.h"

#include <stdbool.h>
#include <string.h>

enum { SYMBOLS = 257, END_OF_STRING = 256, MAX_CODE_BITS = 30, NAME_SIZE = 64, VALUE_SIZE = 1024 };
/* Appendix A; the peer's table until it has read our settings. */
enum { STATIC_ENTRIES = 61, FIRST_TABLE_SIZE = 4096 };

/* RFC 7541 appendix B: the code is canonical, so that the lengths (by symbol) say everything. */
static const uint8_t hpack_code_lengths[SYMBOLS] = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,
    5,  5,  5,  6,  6,  6,  6,  6,  6,  6,  7,  8,  15, 6,  12, 10, 13, 6,  7,  7,  7,  7,  7,  7,
    7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  8,  7,  8,  13, 19, 13, 14, 6,
    15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,  5,  6,  7,  7,
    7,  7,  7,  15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
};

/* The symbol that is number `order` among those whose codes have `width` bits. */
static unsigned hpack_symbol_of(unsigned width, uint32_t order)
{
    unsigned symbol = 0;
    for (; symbol < SYMBOLS; symbol++)
        if (hpack_code_lengths[symbol] == width && order-- == 0)
            break;
    return symbol;
}

int hpack_huffman(const uint8_t *data, size_t length, char *out, size_t size)
{
    uint32_t counts[MAX_CODE_BITS + 1] = {0};
    for (unsigned symbol = 0; symbol < SYMBOLS; symbol++)
        counts[hpack_code_lengths[symbol]]++;
    /* Codes of one width are consecutive, from `first`, in symbol order. */
    uint32_t code = 0, first = 0;
    unsigned width = 0;
    bool ones = true;
    size_t used = 0;
    for (size_t bit = 0; bit < length * 8; bit++) {
        uint32_t value = data[bit / 8] >> (7 - bit % 8) & 1;
        code = code << 1 | value;
        first = (first + counts[width++]) << 1;
        ones = ones && value;
        if (code - first >= counts[width])
            continue;
        unsigned symbol = hpack_symbol_of(width, code - first);
        /*
         * The end itself never stands in a string (section 5.2), NUL in no header (RFC 9113 section
         * 8.2.1).
         */
        if (symbol >= END_OF_STRING || symbol == 0)
            return -1;
        if (used + 1 < size)
            out[used++] = (char)symbol;
        code = first = 0;
        width = 0;
        ones = true;
    }
    out[used] = '\0';
    /* What is left is padding: fewer than eight ones. */
    return width < 8 && ones ? 0 : -1;
}

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

/* An integer with a prefix of `bits` (section 5.1); anything beyond 2^28 is malformed here. */
static int hpack_read_integer(struct cursor *cursor, unsigned bits, uint32_t *value)
{
    if (cursor->at == cursor->end)
        return -1;
    uint32_t most = (1u << bits) - 1;
    *value = *cursor->at++ & most;
    if (*value < most)
        return 0;
    for (unsigned shift = 0; shift <= 21; shift += 7) {
        if (cursor->at == cursor->end)
            return -1;
        uint8_t byte = *cursor->at++;
        *value += (uint32_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return 0;
    }
    return -1;
}

/* A string literal (section 5.2). */
static int hpack_read_string(struct cursor *cursor, char *out, size_t size)
{
    if (cursor->at == cursor->end)
        return -1;
    bool huffman = *cursor->at & 0x80;
    uint32_t length;
    if (hpack_read_integer(cursor, 7, &length) < 0 || length > (size_t)(cursor->end - cursor->at))
        return -1;
    const uint8_t *data = cursor->at;
    cursor->at += length;
    if (huffman)
        return hpack_huffman(data, length, out, size);
    if (memchr(data, '\0', length))
        return -1;
    size_t kept = length < size - 1 ? length : size - 1;
    memcpy(out, data, kept);
    out[kept] = '\0';
    return 0;
}

/* A literal field (section 6.2), its name's index in `bits` bits. */
static int hpack_take_literal(struct cursor *cursor, unsigned bits, hpack_header *header,
                              void *context)
{
    char name[NAME_SIZE] = "", value[VALUE_SIZE];
    uint32_t index;
    if (hpack_read_integer(cursor, bits, &index) < 0 || index > STATIC_ENTRIES)
        return -1;
    if (index == 0 && hpack_read_string(cursor, name, sizeof name) < 0)
        return -1;
    if (hpack_read_string(cursor, value, sizeof value) < 0)
        return -1;
    if (index == 0)
        header(context, name, value);
    return 0;
}

int hpack_walk(const uint8_t *block, size_t length, hpack_header *header, void *context)
{
    struct cursor cursor = {block, block + length};
    uint32_t value;
    /* Dynamic table size updates stand at the beginning (sections 4.2 and 6.3). */
    while (cursor.at < cursor.end && (*cursor.at & 0xe0) == 0x20)
        if (hpack_read_integer(&cursor, 5, &value) < 0 || value > FIRST_TABLE_SIZE)
            return -1;
    while (cursor.at < cursor.end) {
        uint8_t first = *cursor.at;
        if (first & 0x80) { /* one of the static table's (6.1), nothing that we look for */
            if (hpack_read_integer(&cursor, 7, &value) < 0 || value == 0 || value > STATIC_ENTRIES)
                return -1;
        } else if ((first & 0xe0) == 0x20) {
            return -1;
        } else {
            const unsigned bits = first & 0x40 ? 6 : 4; /* with indexing; without, or never */
            if (hpack_take_literal(&cursor, bits, header, context) < 0)
                return -1;
        }
    }
    return 0;
}
