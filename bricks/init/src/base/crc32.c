/* crc32.c: see crc32.h. */
#include "base/crc32.h"

uint32_t crc32_of(const void *bytes, size_t size)
{
    uint32_t sum = UINT32_MAX;
    for (const uint8_t *byte = bytes; size > 0; size--) {
        sum ^= *byte++;
        for (int bit = 0; bit < 8; bit++)
            sum = sum & 1 ? sum >> 1 ^ UINT32_C(0xedb88320) : sum >> 1;
    }
    return ~sum;
}
