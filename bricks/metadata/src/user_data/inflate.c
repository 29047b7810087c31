/* inflate.c: see inflate.h. Sections are those of RFC 1951. */
#include "user_data/inflate.h"

#include <stdbool.h>
#include <string.h>

enum { MAX_BITS = 15, LITERALS = 288, DISTANCES = 32, END_OF_BLOCK = 256 };

struct inflate_stream {
    const unsigned char *data;
    size_t size;
    size_t at;
    unsigned bits; /* read, and not used yet: the lowest come first */
    int bit_count;
    unsigned char *out;
    size_t limit;
    size_t length;
    struct failure *failure;
};

/* A canonical Huffman code (3.2.2): how many symbols there are of each length, and which. */
struct inflate_code {
    unsigned short counts[MAX_BITS + 1];
    unsigned short symbols[LITERALS];
};

static int inflate_refuse(const struct inflate_stream *stream, const char *what)
{
    return failed(stream->failure, "%s at byte %zu", what, stream->at);
}

/* The next `count` bits, at most 13, as a number; -1 behind the end. */
static int inflate_bits(struct inflate_stream *stream, int count)
{
    while (stream->bit_count < count) {
        if (stream->at == stream->size)
            return inflate_refuse(stream, "compressed data ends in the middle");
        stream->bits |= (unsigned)stream->data[stream->at++] << stream->bit_count;
        stream->bit_count += 8;
    }
    unsigned value = stream->bits & ((1U << count) - 1);
    stream->bits >>= count;
    stream->bit_count -= count;
    return (int)value;
}

/* A code that says more than there is room for is invalid; one that says less is not used up. */
static int inflate_make_code(const struct inflate_stream *stream, struct inflate_code *code,
                             const unsigned char *lengths, int count)
{
    unsigned short offsets[MAX_BITS + 2] = {0};
    int left = 1;
    memset(code, 0, sizeof *code);
    for (int i = 0; i < count; i++)
        code->counts[lengths[i]]++;
    code->counts[0] = 0;
    for (int bits = 1; bits <= MAX_BITS; bits++) {
        left = left * 2 - code->counts[bits];
        if (left < 0)
            return inflate_refuse(stream, "an invalid code");
        offsets[bits + 1] = (unsigned short)(offsets[bits] + code->counts[bits]);
    }
    for (int i = 0; i < count; i++)
        if (lengths[i])
            code->symbols[offsets[lengths[i]]++] = (unsigned short)i;
    return 0;
}

/* The next symbol: codes of one length are consecutive numbers. */
static int inflate_symbol(struct inflate_stream *stream, const struct inflate_code *code)
{
    int value = 0, first = 0, index = 0;
    for (int bits = 1; bits <= MAX_BITS; bits++) {
        int bit = inflate_bits(stream, 1);
        if (bit < 0)
            return -1;
        value = value * 2 + bit;
        first *= 2;
        int count = code->counts[bits];
        if (value - first < count)
            return code->symbols[index + value - first];
        index += count;
        first += count;
    }
    return inflate_refuse(stream, "an unknown code");
}

static int inflate_put(struct inflate_stream *stream, unsigned char byte)
{
    if (stream->length == stream->limit)
        return failed(stream->failure, "decompressed, it is longer than %zu bytes", stream->limit);
    stream->out[stream->length++] = byte;
    return 0;
}

/* 3.2.5: what a symbol of a length or distance stands for, with its extra bits. */
static int inflate_number(struct inflate_stream *stream, int extra, int base)
{
    int more = extra > 0 ? inflate_bits(stream, extra) : 0;
    return more < 0 ? -1 : base + more;
}

static int inflate_length(struct inflate_stream *stream, int symbol)
{
    int index = symbol - END_OF_BLOCK - 1;
    if (index > 28)
        return inflate_refuse(stream, "an invalid length");
    if (index == 28)
        return 258;
    int extra = index < 8 ? 0 : index / 4 - 1;
    return inflate_number(stream, extra, index < 8 ? index + 3 : ((4 + index % 4) << extra) + 3);
}

static int inflate_distance(struct inflate_stream *stream, int symbol)
{
    if (symbol > 29)
        return inflate_refuse(stream, "an invalid distance");
    int extra = symbol < 4 ? 0 : symbol / 2 - 1;
    return inflate_number(stream, extra, symbol < 4 ? symbol + 1 : ((2 + symbol % 2) << extra) + 1);
}

static int inflate_copy(struct inflate_stream *stream, int symbol,
                        const struct inflate_code *distances)
{
    int length = inflate_length(stream, symbol);
    int distance = length < 0 ? -1 : inflate_symbol(stream, distances);
    distance = distance < 0 ? -1 : inflate_distance(stream, distance);
    if (distance < 0)
        return -1;
    if ((size_t)distance > stream->length)
        return inflate_refuse(stream, "a distance beyond the beginning");
    for (int i = 0; i < length; i++)
        if (inflate_put(stream, stream->out[stream->length - (size_t)distance]) < 0)
            return -1;
    return 0;
}

static int inflate_compressed(struct inflate_stream *stream, const struct inflate_code *literals,
                              const struct inflate_code *distances)
{
    for (;;) {
        int symbol = inflate_symbol(stream, literals);
        if (symbol < 0)
            return -1;
        if (symbol == END_OF_BLOCK)
            return 0;
        if (symbol < END_OF_BLOCK ? inflate_put(stream, (unsigned char)symbol) < 0
                                  : inflate_copy(stream, symbol, distances) < 0)
            return -1;
    }
}

/* 3.2.4 */
static int inflate_stored(struct inflate_stream *stream)
{
    stream->bits = 0;
    stream->bit_count = 0;
    if (stream->size - stream->at < 4)
        return inflate_refuse(stream, "compressed data ends in the middle");
    const unsigned char *head = stream->data + stream->at;
    size_t length = (size_t)head[0] | (size_t)head[1] << 8;
    if ((length ^ 0xffff) != ((size_t)head[2] | (size_t)head[3] << 8) ||
        length > stream->size - stream->at - 4)
        return inflate_refuse(stream, "an invalid stored block");
    stream->at += 4;
    for (size_t i = 0; i < length; i++)
        if (inflate_put(stream, stream->data[stream->at++]) < 0)
            return -1;
    return 0;
}

/* 3.2.6 */
static int inflate_fixed(struct inflate_stream *stream)
{
    struct inflate_code literals, distances;
    unsigned char lengths[LITERALS];
    memset(lengths, 8, 144);
    memset(lengths + 144, 9, 112);
    memset(lengths + 256, 7, 24);
    memset(lengths + 280, 8, 8);
    inflate_make_code(stream, &literals, lengths, LITERALS);
    memset(lengths, 5, DISTANCES);
    inflate_make_code(stream, &distances, lengths, DISTANCES);
    return inflate_compressed(stream, &literals, &distances);
}

/* 3.2.7: the lengths of both codes, themselves in a code that can repeat. */
static int inflate_code_lengths(struct inflate_stream *stream, const struct inflate_code *code,
                                unsigned char *lengths, int count)
{
    for (int i = 0; i < count;) {
        int symbol = inflate_symbol(stream, code);
        if (symbol < 0)
            return -1;
        if (symbol < 16) {
            lengths[i++] = (unsigned char)symbol;
            continue;
        }
        if (symbol == 16 && i == 0)
            return inflate_refuse(stream, "nothing to repeat");
        unsigned char repeated = symbol == 16 ? lengths[i - 1] : 0;
        int times = symbol == 18 ? inflate_number(stream, 7, 11)
                                 : inflate_number(stream, symbol == 16 ? 2 : 3, 3);
        if (times < 0)
            return -1;
        if (times > count - i)
            return inflate_refuse(stream, "too many lengths");
        memset(lengths + i, repeated, (size_t)times);
        i += times;
    }
    return 0;
}

static int inflate_dynamic(struct inflate_stream *stream)
{
    static const unsigned char order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                            11, 4,  12, 3, 13, 2, 14, 1, 15};
    struct inflate_code code, distances;
    unsigned char lengths[LITERALS + DISTANCES] = {0};
    int literal_count = inflate_bits(stream, 5);
    int distance_count = literal_count < 0 ? -1 : inflate_bits(stream, 5);
    int length_count = distance_count < 0 ? -1 : inflate_bits(stream, 4);
    if (length_count < 0)
        return -1;
    literal_count += 257;
    distance_count += 1;
    if (literal_count > 286 || distance_count > 30)
        return inflate_refuse(stream, "too many lengths");
    for (int i = 0; i < length_count + 4; i++) {
        int length = inflate_bits(stream, 3);
        if (length < 0)
            return -1;
        lengths[order[i]] = (unsigned char)length;
    }
    if (inflate_make_code(stream, &code, lengths, 19) < 0)
        return -1;
    memset(lengths, 0, sizeof lengths);
    if (inflate_code_lengths(stream, &code, lengths, literal_count + distance_count) < 0 ||
        inflate_make_code(stream, &code, lengths, literal_count) < 0 ||
        inflate_make_code(stream, &distances, lengths + literal_count, distance_count) < 0)
        return -1;
    return inflate_compressed(stream, &code, &distances);
}

long inflate(const unsigned char *data, size_t size, unsigned char *out, size_t limit,
             size_t *length, struct failure *failure)
{
    struct inflate_stream stream = {
        .data = data, .size = size, .out = out, .limit = limit, .failure = failure};
    int last = 0, done = 0;
    while (done == 0 && last == 0) {
        last = inflate_bits(&stream, 1);
        int type = last < 0 ? -1 : inflate_bits(&stream, 2);
        if (type < 0)
            return -1;
        if (type == 0)
            done = inflate_stored(&stream);
        else if (type == 1)
            done = inflate_fixed(&stream);
        else if (type == 2)
            done = inflate_dynamic(&stream);
        else
            done = inflate_refuse(&stream, "an unknown kind of block");
    }
    *length = stream.length;
    return done < 0 ? -1 : (long)stream.at;
}
