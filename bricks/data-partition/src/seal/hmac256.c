/*
 * hmac256.c: see hmac256.h.
 *
 * Sources: IETF, RFC 2104, 2 (HMAC) and RFC 8018, 5.2 (PBKDF2); TCG, "TPM 2.0 Library", part 1,
 * 11.4.10.2 (KDFa).
 */
#include "seal/hmac256.h"

#include <string.h>

static void hmac256_begin_pad(struct sha256 *hash, const unsigned char key[SHA256_BLOCK],
                              unsigned char pad)
{
    unsigned char block[SHA256_BLOCK];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = key[i] ^ pad;
    sha256_begin(hash);
    sha256_add(hash, block, sizeof block);
    explicit_bzero(block, sizeof block);
}

void hmac256_begin(struct hmac256 *code, const void *key, size_t size)
{
    unsigned char block[SHA256_BLOCK] = {0};
    if (size > sizeof block) {
        sha256_begin(&code->inner);
        sha256_add(&code->inner, key, size);
        sha256_end(&code->inner, block);
    } else if (size > 0)
        memcpy(block, key, size);
    hmac256_begin_pad(&code->inner, block, 0x36);
    hmac256_begin_pad(&code->outer, block, 0x5c);
    explicit_bzero(block, sizeof block);
}

void hmac256_add(struct hmac256 *code, const void *bytes, size_t size)
{
    sha256_add(&code->inner, bytes, size);
}

void hmac256_end(struct hmac256 *code, unsigned char digest[SHA256_SIZE])
{
    sha256_end(&code->inner, digest);
    sha256_add(&code->outer, digest, SHA256_SIZE);
    sha256_end(&code->outer, digest);
}

/* One block; `keyed` has the password, `first` the hash that the rounds begin with. */
static void hmac256_stretch_block(const struct hmac256 *keyed, struct hmac256 *first,
                                  unsigned rounds, unsigned char digest[SHA256_SIZE])
{
    unsigned char last[SHA256_SIZE];
    hmac256_end(first, last);
    memcpy(digest, last, sizeof last);
    for (unsigned round = 1; round < rounds; round++) {
        struct hmac256 code = *keyed;
        hmac256_add(&code, last, sizeof last);
        hmac256_end(&code, last);
        for (size_t i = 0; i < sizeof last; i++)
            digest[i] ^= last[i];
    }
    explicit_bzero(last, sizeof last);
}

void hmac256_stretch(const void *password, size_t length, const unsigned char *salt,
                     size_t salt_size, unsigned rounds, unsigned char *derived, size_t size)
{
    struct hmac256 keyed;
    unsigned char number[4] = {0}, digest[SHA256_SIZE];
    hmac256_begin(&keyed, password, length);
    for (size_t done = 0; done < size; done += SHA256_SIZE) {
        struct hmac256 code = keyed;
        number[3]++;
        hmac256_add(&code, salt, salt_size);
        hmac256_add(&code, number, sizeof number);
        hmac256_stretch_block(&keyed, &code, rounds, digest);
        memcpy(derived + done, digest, size - done < SHA256_SIZE ? size - done : SHA256_SIZE);
    }
    explicit_bzero(digest, sizeof digest);
    explicit_bzero(&keyed, sizeof keyed);
}

void hmac256_derive(const void *key, size_t size, const char *label, const unsigned char *newer,
                    const unsigned char *older, unsigned char derived[SHA256_SIZE])
{
    static const unsigned char count[] = {0, 0, 0, 1}, bits[] = {0, 0, 1, 0};
    struct hmac256 code;
    hmac256_begin(&code, key, size);
    hmac256_add(&code, count, sizeof count);
    hmac256_add(&code, label, strlen(label) + 1);
    hmac256_add(&code, newer, SHA256_SIZE);
    hmac256_add(&code, older, SHA256_SIZE);
    hmac256_add(&code, bits, sizeof bits);
    hmac256_end(&code, derived);
}
