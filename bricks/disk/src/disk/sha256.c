/* sha256.c: FIPS 180-4, 4.1.2 (functions), 5.1.1 (padding), 6.2.2 (the schedule and the rounds). */
#include "disk/sha256.h"

#include "disk/bytes.h"

#include <string.h>

static const uint32_t sha256_initial[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

/* 4.2.2 */
static const uint32_t sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t sha256_rotate(uint32_t word, unsigned by)
{
    return word >> by | word << (32 - by);
}

static void sha256_block(struct sha256 *hash, const uint8_t *block)
{
    uint32_t words[64], work[8];
    for (int index = 0; index < 16; index++)
        words[index] = big32(block + 4 * index);
    for (int index = 16; index < 64; index++) {
        uint32_t early = words[index - 15], late = words[index - 2];
        words[index] = words[index - 16] + words[index - 7] +
                       (sha256_rotate(early, 7) ^ sha256_rotate(early, 18) ^ early >> 3) +
                       (sha256_rotate(late, 17) ^ sha256_rotate(late, 19) ^ late >> 10);
    }
    memcpy(work, hash->state, sizeof work);
    for (int round = 0; round < 64; round++) {
        uint32_t a = work[0], e = work[4];
        uint32_t first = work[7] + sha256_constants[round] + words[round] +
                         (sha256_rotate(e, 6) ^ sha256_rotate(e, 11) ^ sha256_rotate(e, 25)) +
                         ((e & work[5]) ^ (~e & work[6]));
        uint32_t second = (sha256_rotate(a, 2) ^ sha256_rotate(a, 13) ^ sha256_rotate(a, 22)) +
                          ((a & work[1]) ^ (a & work[2]) ^ (work[1] & work[2]));
        memmove(work + 1, work, 7 * sizeof *work);
        work[4] += first;
        work[0] = first + second;
    }
    for (int index = 0; index < 8; index++)
        hash->state[index] += work[index];
}

void sha256_begin(struct sha256 *hash)
{
    hash->length = 0;
    memcpy(hash->state, sha256_initial, sizeof hash->state);
}

void sha256_add(struct sha256 *hash, const void *bytes, size_t length)
{
    const uint8_t *rest = bytes;
    while (length > 0) {
        size_t held = hash->length % SHA256_BLOCK;
        size_t part = length < SHA256_BLOCK - held ? length : SHA256_BLOCK - held;
        memcpy(hash->block + held, rest, part);
        hash->length += part;
        rest += part;
        length -= part;
        if (hash->length % SHA256_BLOCK == 0)
            sha256_block(hash, hash->block);
    }
}

void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_SIZE])
{
    const uint64_t bits = hash->length * 8;
    uint8_t end[SHA256_BLOCK + 8] = {0x80};
    size_t held = hash->length % SHA256_BLOCK;
    size_t zeros = held < SHA256_BLOCK - 8 ? SHA256_BLOCK - 8 - held : 2 * SHA256_BLOCK - 8 - held;
    for (size_t index = 0; index < 8; index++)
        end[zeros + index] = (uint8_t)(bits >> (56 - 8 * index));
    sha256_add(hash, end, zeros + 8);
    for (size_t index = 0; index < SHA256_SIZE; index++)
        digest[index] = (uint8_t)(hash->state[index / 4] >> (24 - 8 * (index % 4)));
}

void sha256_of(const void *first, size_t first_size, const void *second, size_t second_size,
               uint8_t *digest)
{
    struct sha256 hash;
    sha256_begin(&hash);
    sha256_add(&hash, first, first_size);
    sha256_add(&hash, second, second_size);
    sha256_end(&hash, digest);
}
