/* aes128.h: AES-128 in the CFB mode, which encrypts what goes over the line to a TPM 2.0. */
#ifndef COMPOS_AES128_H
#define COMPOS_AES128_H

#include <stddef.h>

enum { AES128_SIZE = 16 };

/* In place. The last block may be shorter. */
void aes128_encrypt(const unsigned char key[AES128_SIZE], const unsigned char vector[AES128_SIZE],
                    unsigned char *bytes, size_t size);
void aes128_decrypt(const unsigned char key[AES128_SIZE], const unsigned char vector[AES128_SIZE],
                    unsigned char *bytes, size_t size);

#endif
