/* aes.h: AES, block by block, with keys of 128 and 256 bits. */
#ifndef COMPOS_AES_H
#define COMPOS_AES_H

#include <stddef.h>

enum { AES_BLOCK = 16, AES_MOST_KEY = 32, AES_MOST_ROUNDS = 14 };

/* A key, expanded; to be wiped. */
struct aes {
    size_t rounds;
    unsigned char keys[AES_BLOCK * (AES_MOST_ROUNDS + 1)];
};

/* `size`: 16 or 32 bytes. */
void aes_begin(struct aes *aes, const unsigned char *key, size_t size);

/* In place. */
void aes_encrypt(const struct aes *aes, unsigned char block[AES_BLOCK]);
void aes_decrypt(const struct aes *aes, unsigned char block[AES_BLOCK]);

#endif
