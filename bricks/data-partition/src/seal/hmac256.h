/* hmac256.h: keyed hashes with SHA-256, and the functions of a TPM 2.0 that derive keys by them. */
#ifndef COMPOS_HMAC256_H
#define COMPOS_HMAC256_H

#include "disk/sha256.h"

struct hmac256 {
    struct sha256 inner;
    struct sha256 outer;
};

/* HMAC (RFC 2104), in parts. */
void hmac256_begin(struct hmac256 *code, const void *key, size_t size);
void hmac256_add(struct hmac256 *code, const void *bytes, size_t size);
void hmac256_end(struct hmac256 *code, unsigned char digest[SHA256_SIZE]);

/* PBKDF2 (RFC 8018, 5.2), up to 255 blocks. */
void hmac256_stretch(const void *password, size_t length, const unsigned char *salt,
                     size_t salt_size, unsigned rounds, unsigned char *derived, size_t size);

/* KDFa, 256 bits: from a key, by a label and two nonces of SHA256_SIZE bytes. */
void hmac256_derive(const void *key, size_t size, const char *label, const unsigned char *newer,
                    const unsigned char *older, unsigned char derived[SHA256_SIZE]);

#endif
