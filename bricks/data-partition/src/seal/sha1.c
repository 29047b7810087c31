/*
 * sha1.c: see sha1.h.
 *
 * Sources: NIST, FIPS 180-4, 6.1.2 (SHA-1); FIPS 198-1 (HMAC).
 */
#include "seal/sha1.h"

#include <string.h>

enum { ROUNDS = 80, SCHEDULE = 16, LENGTH_SIZE = 8 };

static uint32_t sha1_rotate(uint32_t value, unsigned by)
{
    return value << by | value >> (32 - by);
}

static uint32_t sha1_choose(unsigned round, uint32_t b, uint32_t c, uint32_t d)
{
    if (round < 20)
        return ((b & c) | (~b & d)) + 0x5a827999;
    if (round < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (round < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

static void sha1_compress(struct sha1 *hash)
{
    uint32_t words[ROUNDS];
    for (unsigned i = 0; i < SCHEDULE; i++) {
        const unsigned char *at = hash->block + 4 * (size_t)i;
        words[i] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    for (unsigned i = SCHEDULE; i < ROUNDS; i++)
        words[i] = sha1_rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
    uint32_t a = hash->state[0], b = hash->state[1], c = hash->state[2], d = hash->state[3],
             e = hash->state[4];
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint32_t next = sha1_rotate(a, 5) + sha1_choose(i, b, c, d) + e + words[i];
        e = d;
        d = c;
        c = sha1_rotate(b, 30);
        b = a;
        a = next;
    }
    hash->state[0] += a;
    hash->state[1] += b;
    hash->state[2] += c;
    hash->state[3] += d;
    hash->state[4] += e;
}

void sha1_begin(struct sha1 *hash)
{
    *hash = (struct sha1){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}};
}

void sha1_add(struct sha1 *hash, const void *bytes, size_t size)
{
    const unsigned char *from = bytes;
    for (size_t i = 0; i < size; i++) {
        hash->block[hash->length++ % SHA1_BLOCK] = from[i];
        if (hash->length % SHA1_BLOCK == 0)
            sha1_compress(hash);
    }
}

void sha1_end(struct sha1 *hash, unsigned char digest[SHA1_SIZE])
{
    uint64_t bits = hash->length * 8;
    unsigned char length[LENGTH_SIZE];
    for (unsigned i = 0; i < LENGTH_SIZE; i++)
        length[i] = (unsigned char)(bits >> 8 * (LENGTH_SIZE - 1 - i));
    sha1_add(hash, "\x80", 1);
    while (hash->length % SHA1_BLOCK != SHA1_BLOCK - LENGTH_SIZE)
        sha1_add(hash, "", 1);
    sha1_add(hash, length, sizeof length);
    for (unsigned i = 0; i < SHA1_SIZE; i++)
        digest[i] = (unsigned char)(hash->state[i / 4] >> 8 * (3 - i % 4));
    explicit_bzero(hash, sizeof *hash);
}

void sha1_digest(const void *bytes, size_t size, unsigned char digest[SHA1_SIZE])
{
    struct sha1 hash;
    sha1_begin(&hash);
    sha1_add(&hash, bytes, size);
    sha1_end(&hash, digest);
}

static void sha1_begin_keyed(struct sha1 *hash, const unsigned char key[SHA1_SIZE],
                             unsigned char pad)
{
    unsigned char block[SHA1_BLOCK];
    memset(block, pad, sizeof block);
    for (unsigned i = 0; i < SHA1_SIZE; i++)
        block[i] ^= key[i];
    sha1_begin(hash);
    sha1_add(hash, block, sizeof block);
    explicit_bzero(block, sizeof block);
}

void sha1_hmac(const unsigned char key[SHA1_SIZE], const void *first, size_t first_size,
               const void *second, size_t second_size, unsigned char code[SHA1_SIZE])
{
    unsigned char inner[SHA1_SIZE];
    struct sha1 hash;
    sha1_begin_keyed(&hash, key, 0x36);
    sha1_add(&hash, first, first_size);
    sha1_add(&hash, second, second_size);
    sha1_end(&hash, inner);
    sha1_begin_keyed(&hash, key, 0x5c);
    sha1_add(&hash, inner, sizeof inner);
    sha1_end(&hash, code);
}
