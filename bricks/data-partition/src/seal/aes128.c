/*
 * aes128.c: see aes128.h.
 *
 * Source: NIST, SP 800-38A, 6.3 (CFB).
 */
#include "seal/aes128.h"

#include "seal/aes.h"

#include <string.h>

/* What a block is combined with is the encrypted text of the block before. */
static void aes128_feed(const unsigned char key[AES128_SIZE],
                        const unsigned char vector[AES128_SIZE], unsigned char *bytes, size_t size,
                        int encrypts)
{
    struct aes aes;
    unsigned char before[AES128_SIZE];
    aes_begin(&aes, key, AES128_SIZE);
    memcpy(before, vector, sizeof before);
    for (size_t at = 0; at < size; at += AES128_SIZE) {
        unsigned char pad[AES128_SIZE];
        memcpy(pad, before, sizeof pad);
        aes_encrypt(&aes, pad);
        for (size_t i = 0; i < AES128_SIZE && at + i < size; i++) {
            unsigned char other = bytes[at + i] ^ pad[i];
            before[i] = encrypts ? other : bytes[at + i];
            bytes[at + i] = other;
        }
    }
    explicit_bzero(&aes, sizeof aes);
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
