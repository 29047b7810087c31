/* rsa2048.h: what only the owner of a key of 2048 bits and the exponent 65537 can read (RSA). */
#ifndef COMPOS_RSA2048_H
#define COMPOS_RSA2048_H

#include "base/failure.h"

#include <stddef.h>

enum { RSA2048_SIZE = 256, RSA2048_MAX_HASH = 32 };

/* block = block ^ 65537 modulo the key. -1 if the key is none, or the block not below it. */
int rsa2048_encrypt(const unsigned char key[RSA2048_SIZE], unsigned char block[RSA2048_SIZE],
                    struct failure *failure);

/* A hash of two pieces. */
struct rsa2048_hash {
    size_t size;
    void (*digest)(const void *first, size_t first_size, const void *second, size_t second_size,
                   unsigned char *digest);
};

/* A message (RSAES-OAEP). `seed`, which is as long as the hash, is random. */
int rsa2048_encrypt_message(const unsigned char key[RSA2048_SIZE], const struct rsa2048_hash *hash,
                            const void *label, size_t label_size, const unsigned char *seed,
                            const void *message, size_t message_size,
                            unsigned char block[RSA2048_SIZE], struct failure *failure);

/* A secret that is as long as the hash (RSAES-OAEP). `seed`, which is as long, is random. */
int rsa2048_encrypt_secret(const unsigned char key[RSA2048_SIZE], const struct rsa2048_hash *hash,
                           const void *label, size_t label_size, const unsigned char *seed,
                           const unsigned char *secret, unsigned char block[RSA2048_SIZE],
                           struct failure *failure);

#endif
