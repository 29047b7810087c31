/*
 * rsa2048.c: see rsa2048.h.
 *
 * Sources: IETF, RFC 8017, 5.1.1 (RSAEP), 7.1.1 (RSAES-OAEP) and B.2.1 (MGF1).
 */
#include "seal/rsa2048.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { BITS = 8 * RSA2048_SIZE, WORDS = RSA2048_SIZE / 4 };

struct rsa2048_number {
    uint32_t words[WORDS]; /* the least significant first */
};

static void rsa2048_read_number(struct rsa2048_number *number,
                                const unsigned char bytes[RSA2048_SIZE])
{
    for (size_t i = 0; i < WORDS; i++) {
        const unsigned char *at = bytes + RSA2048_SIZE - 4 * (i + 1);
        number->words[i] =
            (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
}

static void rsa2048_write_number(const struct rsa2048_number *number,
                                 unsigned char bytes[RSA2048_SIZE])
{
    for (size_t i = 0; i < RSA2048_SIZE; i++)
        bytes[RSA2048_SIZE - 1 - i] = (unsigned char)(number->words[i / 4] >> 8 * (i % 4));
}

static bool rsa2048_is_less(const struct rsa2048_number *one, const struct rsa2048_number *other)
{
    for (size_t i = WORDS; i > 0; i--)
        if (one->words[i - 1] != other->words[i - 1])
            return one->words[i - 1] < other->words[i - 1];
    return false;
}

/* sum = one + other modulo `modulus`, all below it. */
static void rsa2048_add(struct rsa2048_number *sum, const struct rsa2048_number *one,
                        const struct rsa2048_number *other, const struct rsa2048_number *modulus)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < WORDS; i++) {
        carry += (uint64_t)one->words[i] + other->words[i];
        sum->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    if (carry == 0 && rsa2048_is_less(sum, modulus))
        return;
    int64_t borrow = 0;
    for (size_t i = 0; i < WORDS; i++) {
        borrow += (int64_t)sum->words[i] - modulus->words[i];
        sum->words[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
}

/* By doubling and adding: a machine does this once in its life. */
static void rsa2048_multiply(struct rsa2048_number *product, const struct rsa2048_number *one,
                             const struct rsa2048_number *other,
                             const struct rsa2048_number *modulus)
{
    struct rsa2048_number result = {{0}};
    for (size_t i = BITS; i > 0; i--) {
        rsa2048_add(&result, &result, &result, modulus);
        if (other->words[(i - 1) / 32] >> (i - 1) % 32 & 1)
            rsa2048_add(&result, &result, one, modulus);
    }
    *product = result;
}

int rsa2048_encrypt(const unsigned char key[RSA2048_SIZE], unsigned char bytes[RSA2048_SIZE],
                    struct failure *failure)
{
    struct rsa2048_number modulus, base, power;
    rsa2048_read_number(&modulus, key);
    rsa2048_read_number(&base, bytes);
    if (!(key[0] & 0x80) || !rsa2048_is_less(&base, &modulus))
        return failed(failure, "the key has not %d bits", BITS);
    power = base;
    for (unsigned square = 0; square < 16; square++)
        rsa2048_multiply(&power, &power, &power, &modulus);
    rsa2048_multiply(&power, &power, &base, &modulus);
    rsa2048_write_number(&power, bytes);
    return 0;
}

/* Exclusive or with the mask that MGF1 makes of a seed. */
static void rsa2048_mask(const struct rsa2048_hash *hash, unsigned char *bytes, size_t size,
                         const unsigned char *seed, size_t seed_size)
{
    unsigned char digest[RSA2048_MAX_HASH];
    for (size_t i = 0; i < size; i++) {
        if (i % hash->size == 0) {
            const unsigned char count[4] = {0, 0, 0, (unsigned char)(i / hash->size)};
            hash->digest(seed, seed_size, count, sizeof count, digest);
        }
        bytes[i] ^= digest[i % hash->size];
    }
}

int rsa2048_encrypt_message(const unsigned char key[RSA2048_SIZE], const struct rsa2048_hash *hash,
                            const void *label, size_t label_size, const unsigned char *seed,
                            const void *message, size_t message_size,
                            unsigned char block[RSA2048_SIZE], struct failure *failure)
{
    unsigned char *masked = block + 1, *data = masked + hash->size;
    const size_t size = RSA2048_SIZE - 1 - hash->size;
    if (message_size > size - hash->size - 1)
        return failed(failure, "the message is too long for the key");
    memset(block, 0, RSA2048_SIZE);
    memcpy(masked, seed, hash->size);
    hash->digest(label, label_size, NULL, 0, data);
    data[size - message_size - 1] = 1;
    memcpy(data + size - message_size, message, message_size);
    rsa2048_mask(hash, data, size, masked, hash->size);
    rsa2048_mask(hash, masked, hash->size, data, size);
    return rsa2048_encrypt(key, block, failure);
}

int rsa2048_encrypt_secret(const unsigned char key[RSA2048_SIZE], const struct rsa2048_hash *hash,
                           const void *label, size_t label_size, const unsigned char *seed,
                           const unsigned char *secret, unsigned char block[RSA2048_SIZE],
                           struct failure *failure)
{
    return rsa2048_encrypt_message(key, hash, label, label_size, seed, secret, hash->size, block,
                                   failure);
}
