/* sha256.h: SHA-256 (FIPS 180-4). */
#ifndef COMPOS_DISK_SHA256_H
#define COMPOS_DISK_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SHA256_SIZE = 32, SHA256_BLOCK = 64 };

struct sha256 {
    uint32_t state[8];
    uint64_t length; /* bytes */
    uint8_t block[SHA256_BLOCK];
};

void sha256_begin(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const void *bytes, size_t length);
void sha256_end(struct sha256 *hash, uint8_t digest[SHA256_SIZE]);

/* Of two pieces, of which the second may be empty. */
void sha256_of(const void *first, size_t first_size, const void *second, size_t second_size,
               uint8_t *digest);

#endif
