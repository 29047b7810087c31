/* rsa2048.h: what only the owner of a key of 2048 bits and the exponent 65537 can read (RSA). */
#ifndef COMPOS_RSA2048_H
#define COMPOS_RSA2048_H

#include "base/failure.h"

enum { RSA2048_SIZE = 256, RSA2048_SECRET = 32 };

/* block = block ^ 65537 modulo the key. -1 if the key is none, or the block not below it. */
int rsa2048_encrypt(const unsigned char key[RSA2048_SIZE], unsigned char block[RSA2048_SIZE],
                    struct failure *failure);

/* A salt for a TPM 2.0 (RSAES-OAEP, SHA-256, with the label of secrets). */
int rsa2048_encrypt_secret(const unsigned char key[RSA2048_SIZE],
                           const unsigned char secret[RSA2048_SECRET],
                           unsigned char block[RSA2048_SIZE], struct failure *failure);

#endif
