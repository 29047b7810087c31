/* p256.h: a secret shared with the owner of a key on the curve P-256 (ECDH). */
#ifndef COMPOS_P256_H
#define COMPOS_P256_H

#include <stdbool.h>

enum { P256_SIZE = 32 };

/* A point, big-endian. */
struct p256_point {
    unsigned char x[P256_SIZE];
    unsigned char y[P256_SIZE];
};

/* The product of a point and a secret number, big-endian. False if it is no point of the curve, or
 * the number is 0 or not below the curve's order. */
bool p256_multiply(const struct p256_point *point, const unsigned char number[P256_SIZE],
                   struct p256_point *product);

/* Of the curve's base point. */
bool p256_public(const unsigned char number[P256_SIZE], struct p256_point *product);

#endif
