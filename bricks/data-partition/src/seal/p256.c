/*
 * p256.c: see p256.h.
 *
 * Sources: NIST, SP 800-186, 3.2.1.3 (the curve); Renes, Costello, Batina, "Complete addition
 * formulas for prime order elliptic curves", 2016, algorithm 4; Montgomery, "Modular multiplication
 * without trial division", 1985. The time does not depend on the secret number.
 */
#include "seal/p256.h"

#include <stdint.h>
#include <string.h>

enum { WORDS = 8, BITS = 256 };

/* A number below the prime, the least significant word first; times 2^256 (Montgomery's form). */
struct p256_field {
    uint32_t words[WORDS];
};

/* Projective: (x/z, y/z). */
struct p256_place {
    struct p256_field x, y, z;
};

static const struct p256_field p256_prime = {
    {0xffffffff, 0xffffffff, 0xffffffff, 0, 0, 0, 1, 0xffffffff}};

static const unsigned char p256_order[P256_SIZE] = {
    0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

static const unsigned char p256_b[P256_SIZE] = {
    0x5a, 0xc6, 0x35, 0xd8, 0xaa, 0x3a, 0x93, 0xe7, 0xb3, 0xeb, 0xbd, 0x55, 0x76, 0x98, 0x86, 0xbc,
    0x65, 0x1d, 0x06, 0xb0, 0xcc, 0x53, 0xb0, 0xf6, 0x3b, 0xce, 0x3c, 0x3e, 0x27, 0xd2, 0x60, 0x4b};

static const struct p256_point p256_base = {
    {0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6,
     0xe5, 0x63, 0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb,
     0x33, 0xa0, 0xf4, 0xa1, 0x39, 0x45, 0xd8, 0x98, 0xc2, 0x96},
    {0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e, 0xe7, 0xeb,
     0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31,
     0x5e, 0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5}};

/* difference = one - other; what was borrowed. */
static uint32_t p256_take(struct p256_field *difference, const struct p256_field *one,
                          const struct p256_field *other)
{
    uint64_t borrow = 0;
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t word = (uint64_t)one->words[i] - other->words[i] - borrow;
        difference->words[i] = (uint32_t)word;
        borrow = word >> 63;
    }
    return (uint32_t)borrow;
}

static void p256_choose(struct p256_field *target, const struct p256_field *source, uint32_t is)
{
    for (size_t i = 0; i < WORDS; i++)
        target->words[i] ^= (target->words[i] ^ source->words[i]) & (0 - is);
}

/* Subtracts the prime where the number, with a carry above it, is not below it. */
static void p256_reduce(struct p256_field *number, uint32_t carry)
{
    struct p256_field less;
    uint32_t borrow = p256_take(&less, number, &p256_prime);
    p256_choose(number, &less, carry | (borrow ^ 1));
}

static void p256_add(struct p256_field *sum, const struct p256_field *one,
                     const struct p256_field *other)
{
    uint64_t carry = 0;
    for (size_t i = 0; i < WORDS; i++) {
        carry += (uint64_t)one->words[i] + other->words[i];
        sum->words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    p256_reduce(sum, (uint32_t)carry);
}

static void p256_subtract(struct p256_field *difference, const struct p256_field *one,
                          const struct p256_field *other)
{
    struct p256_field more;
    uint32_t borrow = p256_take(difference, one, other);
    uint64_t carry = 0;
    for (size_t i = 0; i < WORDS; i++) {
        carry += (uint64_t)difference->words[i] + p256_prime.words[i];
        more.words[i] = (uint32_t)carry;
        carry >>= 32;
    }
    p256_choose(difference, &more, borrow);
}

/* one * other / 2^256. The prime is -1 modulo 2^32, so that a word is its own multiple of it. */
static void p256_times(struct p256_field *product, const struct p256_field *one,
                       const struct p256_field *other)
{
    uint32_t sum[WORDS + 2] = {0};
    for (size_t i = 0; i < WORDS; i++) {
        uint64_t carry = 0;
        for (size_t j = 0; j < WORDS; j++) {
            carry += (uint64_t)one->words[i] * other->words[j] + sum[j];
            sum[j] = (uint32_t)carry;
            carry >>= 32;
        }
        carry += sum[WORDS];
        sum[WORDS] = (uint32_t)carry;
        sum[WORDS + 1] = (uint32_t)(carry >> 32);
        const uint32_t multiple = sum[0];
        carry = ((uint64_t)multiple * p256_prime.words[0] + sum[0]) >> 32;
        for (size_t j = 1; j < WORDS; j++) {
            carry += (uint64_t)multiple * p256_prime.words[j] + sum[j];
            sum[j - 1] = (uint32_t)carry;
            carry >>= 32;
        }
        carry += sum[WORDS];
        sum[WORDS - 1] = (uint32_t)carry;
        sum[WORDS] = sum[WORDS + 1] + (uint32_t)(carry >> 32);
    }
    memcpy(product->words, sum, sizeof product->words);
    p256_reduce(product, sum[WORDS]);
}

/* False if it is not below the prime. */
static bool p256_read(struct p256_field *number, const unsigned char bytes[P256_SIZE])
{
    struct p256_field ignored;
    for (size_t i = 0; i < WORDS; i++) {
        const unsigned char *at = bytes + P256_SIZE - 4 * (i + 1);
        number->words[i] =
            (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    bool is_less = p256_take(&ignored, number, &p256_prime);
    for (int bit = 0; bit < BITS; bit++)
        p256_add(number, number, number);
    return is_less;
}

static void p256_write(const struct p256_field *number, unsigned char bytes[P256_SIZE])
{
    static const struct p256_field one = {{1}};
    struct p256_field plain;
    p256_times(&plain, number, &one);
    for (size_t i = 0; i < P256_SIZE; i++)
        bytes[P256_SIZE - 1 - i] = (unsigned char)(plain.words[i / 4] >> 8 * (i % 4));
}

/* By Fermat: to the power of the prime less two. */
static void p256_invert(struct p256_field *inverse, const struct p256_field *number)
{
    static const struct p256_field two = {{2}};
    struct p256_field exponent, power = *number;
    p256_take(&exponent, &p256_prime, &two);
    for (int bit = BITS - 2; bit >= 0; bit--) {
        p256_times(&power, &power, &power);
        if (exponent.words[bit / 32] >> bit % 32 & 1)
            p256_times(&power, &power, number);
    }
    *inverse = power;
}

/* The names are those of the algorithm. */
static void p256_sum(struct p256_place *sum, const struct p256_place *p, const struct p256_place *q,
                     const struct p256_field *b)
{
    struct p256_field t0, t1, t2, t3, t4, x3, y3, z3;
    p256_times(&t0, &p->x, &q->x);
    p256_times(&t1, &p->y, &q->y);
    p256_times(&t2, &p->z, &q->z);
    p256_add(&t3, &p->x, &p->y);
    p256_add(&t4, &q->x, &q->y);
    p256_times(&t3, &t3, &t4);
    p256_add(&t4, &t0, &t1);
    p256_subtract(&t3, &t3, &t4);
    p256_add(&t4, &p->y, &p->z);
    p256_add(&x3, &q->y, &q->z);
    p256_times(&t4, &t4, &x3);
    p256_add(&x3, &t1, &t2);
    p256_subtract(&t4, &t4, &x3);
    p256_add(&x3, &p->x, &p->z);
    p256_add(&y3, &q->x, &q->z);
    p256_times(&x3, &x3, &y3);
    p256_add(&y3, &t0, &t2);
    p256_subtract(&y3, &x3, &y3);
    p256_times(&z3, b, &t2);
    p256_subtract(&x3, &y3, &z3);
    p256_add(&z3, &x3, &x3);
    p256_add(&x3, &x3, &z3);
    p256_subtract(&z3, &t1, &x3);
    p256_add(&x3, &t1, &x3);
    p256_times(&y3, b, &y3);
    p256_add(&t1, &t2, &t2);
    p256_add(&t2, &t1, &t2);
    p256_subtract(&y3, &y3, &t2);
    p256_subtract(&y3, &y3, &t0);
    p256_add(&t1, &y3, &y3);
    p256_add(&y3, &t1, &y3);
    p256_add(&t1, &t0, &t0);
    p256_add(&t0, &t1, &t0);
    p256_subtract(&t0, &t0, &t2);
    p256_times(&t1, &t4, &y3);
    p256_times(&t2, &t0, &y3);
    p256_times(&y3, &x3, &z3);
    p256_add(&sum->y, &y3, &t2);
    p256_times(&x3, &t3, &x3);
    p256_subtract(&sum->x, &x3, &t1);
    p256_times(&z3, &t4, &z3);
    p256_times(&t1, &t3, &t0);
    p256_add(&sum->z, &z3, &t1);
}

/* y^2 = x^3 - 3x + b, with z = 1. */
static bool p256_is_on_curve(const struct p256_place *place, const struct p256_field *b)
{
    struct p256_field left, right, three;
    p256_times(&left, &place->y, &place->y);
    p256_times(&right, &place->x, &place->x);
    p256_times(&right, &right, &place->x);
    p256_add(&three, &place->x, &place->x);
    p256_add(&three, &three, &place->x);
    p256_subtract(&right, &right, &three);
    p256_add(&right, &right, b);
    return memcmp(&left, &right, sizeof left) == 0;
}

static bool p256_is_number(const unsigned char number[P256_SIZE])
{
    static const unsigned char zero[P256_SIZE];
    return memcmp(number, zero, P256_SIZE) != 0 && memcmp(number, p256_order, P256_SIZE) < 0;
}

bool p256_multiply(const struct p256_point *point, const unsigned char number[P256_SIZE],
                   struct p256_point *product)
{
    static const unsigned char unit[P256_SIZE] = {[P256_SIZE - 1] = 1};
    struct p256_field b, inverse;
    struct p256_place given, result = {0}, more;
    bool is_point = p256_read(&given.x, point->x);
    is_point &= p256_read(&given.y, point->y);
    p256_read(&given.z, unit);
    p256_read(&b, p256_b);
    if (!is_point || !p256_is_on_curve(&given, &b) || !p256_is_number(number))
        return false;
    result.y = given.z; /* the point at infinity */
    for (int bit = 0; bit < BITS; bit++) {
        p256_sum(&result, &result, &result, &b);
        p256_sum(&more, &result, &given, &b);
        uint32_t is_set = number[bit / 8] >> (7 - bit % 8) & 1;
        p256_choose(&result.x, &more.x, is_set);
        p256_choose(&result.y, &more.y, is_set);
        p256_choose(&result.z, &more.z, is_set);
    }
    p256_invert(&inverse, &result.z);
    p256_times(&result.x, &result.x, &inverse);
    p256_times(&result.y, &result.y, &inverse);
    p256_write(&result.x, product->x);
    p256_write(&result.y, product->y);
    explicit_bzero(&result, sizeof result);
    explicit_bzero(&more, sizeof more);
    return true;
}

bool p256_public(const unsigned char number[P256_SIZE], struct p256_point *product)
{
    return p256_multiply(&p256_base, number, product);
}
