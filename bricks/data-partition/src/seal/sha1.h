/* sha1.h: SHA-1 and HMAC-SHA-1, which are all that a TPM 1.2 knows. */
#ifndef COMPOS_SHA1_H
#define COMPOS_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { SHA1_SIZE = 20, SHA1_BLOCK = 64 };

struct sha1 {
    uint32_t state[5];
    uint64_t length; /* bytes so far */
    unsigned char block[SHA1_BLOCK];
};

void sha1_begin(struct sha1 *hash);
void sha1_add(struct sha1 *hash, const void *bytes, size_t size);
void sha1_end(struct sha1 *hash, unsigned char digest[SHA1_SIZE]);

/* Of `size` bytes, and of two pieces, with a key of SHA1_SIZE bytes. */
void sha1_digest(const void *bytes, size_t size, unsigned char digest[SHA1_SIZE]);
void sha1_hmac(const unsigned char key[SHA1_SIZE], const void *first, size_t first_size,
               const void *second, size_t second_size, unsigned char code[SHA1_SIZE]);

#endif
