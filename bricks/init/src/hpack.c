/* hpack.c: see hpack.h. */
#include "hpack.h"

#include <stdbool.h>
#include <string.h>

enum { SYMBOLS = 257, END_OF_STRING = 256, SHORTEST = 5, LONGEST = 30, NAME_SIZE = 64, VALUE_SIZE = 512 };

/* RFC 7541 appendix B: the code is canonical, so that the lengths (by symbol) say everything. */
static const uint8_t lengths[SYMBOLS] = {
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28,
    28, 28, 28, 6,  10, 10, 12, 13, 6,  8,  11, 10, 10, 8,  11, 8,  6,  6,  6,  5,  5,  5,  6,  6,  6,  6,  6,  6,  6,
    7,  8,  15, 6,  12, 10, 13, 6,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,  7,
    7,  8,  7,  8,  13, 19, 13, 14, 6,  15, 5,  6,  5,  6,  5,  6,  6,  6,  5,  7,  7,  6,  6,  6,  5,  6,  7,  6,  5,
    5,  6,  7,  7,  7,  7,  7,  15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24,
    24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22,
    23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26,
    27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23,
    22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
};

/* The symbol whose code is the `width` bits in `code`, or -1. Codes of one width are consecutive, in symbol order. */
static int symbol_of(uint32_t code, unsigned width)
{
    uint32_t first = 0;
    for (unsigned bits = SHORTEST; bits <= width; bits++) {
        uint32_t count = 0;
        for (unsigned symbol = 0; symbol < SYMBOLS; symbol++) {
            if (lengths[symbol] != bits)
                continue;
            if (bits == width && code == first + count)
                return (int)symbol;
            count++;
        }
        first = (first + count) << 1;
    }
    return -1;
}

int hpack_huffman(const uint8_t *data, size_t length, char *out, size_t size)
{
    uint32_t code = 0;
    unsigned width = 0;
    size_t used = 0;
    for (size_t bit = 0; bit < length * 8; bit++) {
        code = code << 1 | (uint32_t)(data[bit / 8] >> (7 - bit % 8) & 1);
        if (++width < SHORTEST)
            continue;
        int symbol = symbol_of(code, width);
        if (symbol == END_OF_STRING || (symbol < 0 && width >= LONGEST))
            return -1;
        if (symbol < 0)
            continue;
        if (used + 1 < size)
            out[used++] = (char)symbol;
        code = 0;
        width = 0;
    }
    out[used] = '\0';
    /* What is left is padding: fewer than eight ones. */
    return width < 8 && code == (1u << width) - 1 ? 0 : -1;
}

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
};

/* An integer with a prefix of `bits` (section 5.1); anything beyond 2^28 is malformed here. */
static int read_integer(struct cursor *cursor, unsigned bits, uint32_t *value)
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
static int read_string(struct cursor *cursor, char *out, size_t size)
{
    if (cursor->at == cursor->end)
        return -1;
    bool huffman = *cursor->at & 0x80;
    uint32_t length;
    if (read_integer(cursor, 7, &length) || length > (size_t)(cursor->end - cursor->at))
        return -1;
    const uint8_t *data = cursor->at;
    cursor->at += length;
    if (huffman)
        return hpack_huffman(data, length, out, size);
    size_t kept = length < size - 1 ? length : size - 1;
    memcpy(out, data, kept);
    out[kept] = '\0';
    return 0;
}

int hpack_walk(const uint8_t *block, size_t length, hpack_header *header, void *context)
{
    struct cursor cursor = {block, block + length};
    while (cursor.at < cursor.end) {
        uint8_t first = *cursor.at;
        uint32_t index;
        if (first & 0x80) { /* indexed field (6.1): one of the static table, nothing that we look for */
            if (read_integer(&cursor, 7, &index))
                return -1;
            continue;
        }
        if ((first & 0xe0) == 0x20) { /* dynamic table size update (6.3) */
            if (read_integer(&cursor, 5, &index))
                return -1;
            continue;
        }
        /* Literals (6.2): with indexing (6 bits of index), without or never (4 bits). */
        char name[NAME_SIZE] = "", value[VALUE_SIZE];
        if (read_integer(&cursor, first & 0x40 ? 6 : 4, &index))
            return -1;
        if (index == 0 && read_string(&cursor, name, sizeof name))
            return -1;
        if (read_string(&cursor, value, sizeof value))
            return -1;
        if (index == 0)
            header(context, name, value);
    }
    return 0;
}
