/*
 * stripes.c: see stripes.h.
 *
 * Source: cryptsetup, docs/on-disk-format-luks1.pdf, 2.4 (AFsplit and AFmerge, H1).
 */
#include "luks/stripes.h"

#include "disk/sha256.h"

#include <string.h>
#include <sys/random.h>

/* What all stripes but the last one come to. */
static void stripes_mix(const unsigned char *stripes, unsigned char mixed[STRIPES_KEY])
{
    memset(mixed, 0, STRIPES_KEY);
    for (size_t stripe = 0; stripe + 1 < STRIPES_COUNT; stripe++) {
        for (size_t i = 0; i < STRIPES_KEY; i++)
            mixed[i] ^= stripes[stripe * STRIPES_KEY + i];
        for (unsigned char part = 0; part < STRIPES_KEY / SHA256_SIZE; part++) {
            const unsigned char number[4] = {0, 0, 0, part};
            struct sha256 hash;
            sha256_begin(&hash);
            sha256_add(&hash, number, sizeof number);
            sha256_add(&hash, mixed + part * SHA256_SIZE, SHA256_SIZE);
            sha256_end(&hash, mixed + part * SHA256_SIZE);
        }
    }
}

void stripes_merge(const unsigned char *stripes, unsigned char key[STRIPES_KEY])
{
    stripes_mix(stripes, key);
    for (size_t i = 0; i < STRIPES_KEY; i++)
        key[i] ^= stripes[STRIPES_SIZE - STRIPES_KEY + i];
}

int stripes_split(const unsigned char key[STRIPES_KEY], unsigned char *stripes,
                  struct failure *failure)
{
    unsigned char mixed[STRIPES_KEY];
    for (size_t done = 0; done < STRIPES_SIZE - STRIPES_KEY;) {
        ssize_t count = getrandom(stripes + done, STRIPES_SIZE - STRIPES_KEY - done, 0);
        if (count < 0)
            return failed_errno(failure, "getrandom");
        done += (size_t)count;
    }
    stripes_mix(stripes, mixed);
    for (size_t i = 0; i < STRIPES_KEY; i++)
        stripes[STRIPES_SIZE - STRIPES_KEY + i] = mixed[i] ^ key[i];
    explicit_bzero(mixed, sizeof mixed);
    return 0;
}
