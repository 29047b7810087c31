/*
 * xts.c: see xts.h.
 *
 * Sources: IEEE 1619, 5.3 (XTS-AES-256) and 5.2 (the tweak times alpha); Linux,
 * Documentation/admin-guide/device-mapper/dm-crypt.rst (plain64: the sector's number,
 * little-endian).
 */
#include "luks/xts.h"

#include "seal/aes.h"

#include <stdint.h>
#include <string.h>

enum { POLYNOMIAL = 0x87 };

struct xts {
    struct aes data;
    struct aes tweak;
};

static void xts_begin(struct xts *xts, const unsigned char key[XTS_KEY])
{
    aes_begin(&xts->data, key, AES_MOST_KEY);
    aes_begin(&xts->tweak, key + AES_MOST_KEY, AES_MOST_KEY);
}

static void xts_double(unsigned char tweak[AES_BLOCK])
{
    unsigned char carry = 0;
    for (size_t i = 0; i < AES_BLOCK; i++) {
        unsigned char next = tweak[i] >> 7;
        tweak[i] = (unsigned char)(tweak[i] << 1 | carry);
        carry = next;
    }
    tweak[0] ^= (unsigned char)(carry * POLYNOMIAL);
}

static void xts_add(unsigned char *block, const unsigned char tweak[AES_BLOCK])
{
    for (size_t i = 0; i < AES_BLOCK; i++)
        block[i] ^= tweak[i];
}

static void xts_sectors(const unsigned char key[XTS_KEY], unsigned char *bytes, size_t count,
                        void (*cipher)(const struct aes *, unsigned char *))
{
    struct xts xts;
    xts_begin(&xts, key);
    for (uint64_t sector = 0; sector < count; sector++) {
        unsigned char tweak[AES_BLOCK] = {0};
        for (size_t i = 0; i < sizeof sector; i++)
            tweak[i] = (unsigned char)(sector >> 8 * i);
        aes_encrypt(&xts.tweak, tweak);
        for (size_t at = 0; at < XTS_SECTOR; at += AES_BLOCK, bytes += AES_BLOCK) {
            xts_add(bytes, tweak);
            cipher(&xts.data, bytes);
            xts_add(bytes, tweak);
            xts_double(tweak);
        }
    }
    explicit_bzero(&xts, sizeof xts);
}

void xts_encrypt(const unsigned char key[XTS_KEY], unsigned char *bytes, size_t count)
{
    xts_sectors(key, bytes, count, aes_encrypt);
}

void xts_decrypt(const unsigned char key[XTS_KEY], unsigned char *bytes, size_t count)
{
    xts_sectors(key, bytes, count, aes_decrypt);
}
