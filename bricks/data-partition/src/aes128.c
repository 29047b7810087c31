/*
 * aes128.c: see aes128.h.
 *
 * Sources: NIST, FIPS 197, 5.1 (the cipher) and 5.2 (the key's expansion); SP 800-38A, 6.3 (CFB).
 * A key is used for one message, and nobody else runs on the machine yet: the substitution is
 * computed, bit by bit, once a process.
 */
#include "aes128.h"

#include <string.h>

enum { ROUNDS = 10, EXPANDED = AES128_SIZE * (ROUNDS + 1), POLYNOMIAL = 0x1b };

static unsigned char aes128_substitution[256];

static unsigned char aes128_double(unsigned char byte)
{
    return (unsigned char)(byte << 1 ^ (byte >> 7) * POLYNOMIAL);
}

static unsigned char aes128_rotate(unsigned char byte, unsigned by)
{
    return (unsigned char)(byte << by | byte >> (8 - by));
}

/* 5.1.1: the inverse in the field, then an affine map; by powers of a generator and its inverse. */
static void aes128_prepare(void)
{
    unsigned char power = 1, inverse = 1;
    if (aes128_substitution[0])
        return;
    do {
        power ^= aes128_double(power); /* times 3 */
        inverse ^= (unsigned char)(inverse << 1);
        inverse ^= (unsigned char)(inverse << 2);
        inverse ^= (unsigned char)(inverse << 4);
        if (inverse & 0x80)
            inverse ^= 0x09; /* divided by 3 */
        aes128_substitution[power] =
            (unsigned char)(inverse ^ aes128_rotate(inverse, 1) ^ aes128_rotate(inverse, 2) ^
                            aes128_rotate(inverse, 3) ^ aes128_rotate(inverse, 4) ^ 0x63);
    } while (power != 1);
    aes128_substitution[0] = 0x63;
}

static void aes128_expand(const unsigned char key[AES128_SIZE], unsigned char keys[EXPANDED])
{
    unsigned char constant = 1;
    memcpy(keys, key, AES128_SIZE);
    for (size_t at = AES128_SIZE; at < EXPANDED; at += 4) {
        unsigned char word[4];
        memcpy(word, keys + at - 4, sizeof word);
        if (at % AES128_SIZE == 0) {
            unsigned char first = word[0];
            for (size_t i = 0; i < 3; i++)
                word[i] = aes128_substitution[word[i + 1]];
            word[3] = aes128_substitution[first];
            word[0] ^= constant;
            constant = aes128_double(constant);
        }
        for (size_t i = 0; i < sizeof word; i++)
            keys[at + i] = keys[at + i - AES128_SIZE] ^ word[i];
    }
}

static void aes128_add(unsigned char block[AES128_SIZE], const unsigned char *key)
{
    for (size_t i = 0; i < AES128_SIZE; i++)
        block[i] ^= key[i];
}

/* SubBytes and ShiftRows; columns lie one behind the other. */
static void aes128_substitute(unsigned char block[AES128_SIZE])
{
    unsigned char old[AES128_SIZE];
    memcpy(old, block, sizeof old);
    for (size_t i = 0; i < AES128_SIZE; i++)
        block[i] = aes128_substitution[old[(i + 4 * (i % 4)) % AES128_SIZE]];
}

static void aes128_mix(unsigned char block[AES128_SIZE])
{
    for (unsigned char *column = block; column < block + AES128_SIZE; column += 4) {
        const unsigned char first = column[0], all = column[0] ^ column[1] ^ column[2] ^ column[3];
        for (size_t i = 0; i < 4; i++) {
            unsigned char next = i < 3 ? column[i + 1] : first;
            column[i] ^= (unsigned char)(all ^ aes128_double(column[i] ^ next));
        }
    }
}

static void aes128_block(const unsigned char keys[EXPANDED], unsigned char block[AES128_SIZE])
{
    aes128_add(block, keys);
    for (size_t round = 1; round <= ROUNDS; round++) {
        aes128_substitute(block);
        if (round < ROUNDS)
            aes128_mix(block);
        aes128_add(block, keys + round * AES128_SIZE);
    }
}

/* What a block is combined with is the encrypted text of the block before. */
static void aes128_feed(const unsigned char key[AES128_SIZE],
                        const unsigned char vector[AES128_SIZE], unsigned char *bytes, size_t size,
                        int encrypts)
{
    unsigned char keys[EXPANDED], before[AES128_SIZE];
    aes128_prepare();
    aes128_expand(key, keys);
    memcpy(before, vector, sizeof before);
    for (size_t at = 0; at < size; at += AES128_SIZE) {
        unsigned char pad[AES128_SIZE];
        memcpy(pad, before, sizeof pad);
        aes128_block(keys, pad);
        for (size_t i = 0; i < AES128_SIZE && at + i < size; i++) {
            unsigned char other = bytes[at + i] ^ pad[i];
            before[i] = encrypts ? other : bytes[at + i];
            bytes[at + i] = other;
        }
    }
    explicit_bzero(keys, sizeof keys);
}

void aes128_encrypt(const unsigned char key[AES128_SIZE], const unsigned char vector[AES128_SIZE],
                    unsigned char *bytes, size_t size)
{
    aes128_feed(key, vector, bytes, size, 1);
}

void aes128_decrypt(const unsigned char key[AES128_SIZE], const unsigned char vector[AES128_SIZE],
                    unsigned char *bytes, size_t size)
{
    aes128_feed(key, vector, bytes, size, 0);
}
