/*
 * aes.c: see aes.h.
 *
 * Source: NIST, FIPS 197, 5.1 (the cipher), 5.2 (the key's expansion), 5.3 (the inverse cipher).
 * Little is encrypted, and nobody else runs on the machine yet: the substitution is computed, bit
 * by bit, once a process.
 */
#include "seal/aes.h"

#include <string.h>

enum { POLYNOMIAL = 0x1b };

static unsigned char aes_substitution[256], aes_inverse[256];

static unsigned char aes_double(unsigned char byte)
{
    return (unsigned char)(byte << 1 ^ (byte >> 7) * POLYNOMIAL);
}

static unsigned char aes_rotate(unsigned char byte, unsigned by)
{
    return (unsigned char)(byte << by | byte >> (8 - by));
}

/* 5.1.1: the inverse in the field, then an affine map; by powers of a generator and its inverse. */
static void aes_prepare(void)
{
    unsigned char power = 1, inverse = 1;
    if (aes_substitution[0])
        return;
    do {
        power ^= aes_double(power); /* times 3 */
        inverse ^= (unsigned char)(inverse << 1);
        inverse ^= (unsigned char)(inverse << 2);
        inverse ^= (unsigned char)(inverse << 4);
        if (inverse & 0x80)
            inverse ^= 0x09; /* divided by 3 */
        aes_substitution[power] =
            (unsigned char)(inverse ^ aes_rotate(inverse, 1) ^ aes_rotate(inverse, 2) ^
                            aes_rotate(inverse, 3) ^ aes_rotate(inverse, 4) ^ 0x63);
    } while (power != 1);
    aes_substitution[0] = 0x63;
    for (size_t i = 0; i < sizeof aes_inverse; i++)
        aes_inverse[aes_substitution[i]] = (unsigned char)i;
}

static void aes_substitute_word(unsigned char word[4])
{
    for (size_t i = 0; i < 4; i++)
        word[i] = aes_substitution[word[i]];
}

void aes_begin(struct aes *aes, const unsigned char *key, size_t size)
{
    unsigned char constant = 1;
    aes_prepare();
    aes->rounds = size / 4 + 6;
    memcpy(aes->keys, key, size);
    for (size_t at = size; at < AES_BLOCK * (aes->rounds + 1); at += 4) {
        unsigned char word[4];
        memcpy(word, aes->keys + at - 4, sizeof word);
        if (at % size == 0) {
            unsigned char first = word[0];
            memmove(word, word + 1, 3);
            word[3] = first;
            aes_substitute_word(word);
            word[0] ^= constant;
            constant = aes_double(constant);
        } else if (size == AES_MOST_KEY && at % size == AES_BLOCK)
            aes_substitute_word(word);
        for (size_t i = 0; i < sizeof word; i++)
            aes->keys[at + i] = aes->keys[at + i - size] ^ word[i];
    }
}

static void aes_add(unsigned char block[AES_BLOCK], const unsigned char *key)
{
    for (size_t i = 0; i < AES_BLOCK; i++)
        block[i] ^= key[i];
}

/* SubBytes and ShiftRows; columns lie one behind the other. */
static void aes_substitute(unsigned char block[AES_BLOCK])
{
    unsigned char old[AES_BLOCK];
    memcpy(old, block, sizeof old);
    for (size_t i = 0; i < AES_BLOCK; i++)
        block[i] = aes_substitution[old[(i + 4 * (i % 4)) % AES_BLOCK]];
}

static void aes_mix(unsigned char block[AES_BLOCK])
{
    for (unsigned char *column = block; column < block + AES_BLOCK; column += 4) {
        const unsigned char first = column[0], all = column[0] ^ column[1] ^ column[2] ^ column[3];
        for (size_t i = 0; i < 4; i++) {
            unsigned char next = i < 3 ? column[i + 1] : first;
            column[i] ^= (unsigned char)(all ^ aes_double(column[i] ^ next));
        }
    }
}

/* InvSubBytes and InvShiftRows */
static void aes_restore(unsigned char block[AES_BLOCK])
{
    unsigned char old[AES_BLOCK];
    memcpy(old, block, sizeof old);
    for (size_t i = 0; i < AES_BLOCK; i++)
        block[(i + 4 * (i % 4)) % AES_BLOCK] = aes_inverse[old[i]];
}

/* InvMixColumns: a circulant of its own, then MixColumns (the polynomials' product). */
static void aes_unmix(unsigned char block[AES_BLOCK])
{
    for (unsigned char *column = block; column < block + AES_BLOCK; column += 4) {
        unsigned char even = aes_double(aes_double(column[0] ^ column[2]));
        unsigned char odd = aes_double(aes_double(column[1] ^ column[3]));
        for (size_t i = 0; i < 4; i++)
            column[i] ^= i % 2 ? odd : even;
    }
    aes_mix(block);
}

void aes_encrypt(const struct aes *aes, unsigned char block[AES_BLOCK])
{
    aes_add(block, aes->keys);
    for (size_t round = 1; round <= aes->rounds; round++) {
        aes_substitute(block);
        if (round < aes->rounds)
            aes_mix(block);
        aes_add(block, aes->keys + round * AES_BLOCK);
    }
}

void aes_decrypt(const struct aes *aes, unsigned char block[AES_BLOCK])
{
    for (size_t round = aes->rounds; round > 0; round--) {
        aes_add(block, aes->keys + round * AES_BLOCK);
        if (round < aes->rounds)
            aes_unmix(block);
        aes_restore(block);
    }
    aes_add(block, aes->keys);
}
