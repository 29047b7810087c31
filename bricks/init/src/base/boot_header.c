/* boot_header.c: see boot_header.h. */
#include "base/boot_header.h"

#include "base/crc32.h"

#include <string.h>

bool boot_header_is_whole(const struct boot_header *header)
{
    return memcmp(header->mark, "COMPBOOT", sizeof header->mark) == 0 && header->version == 1 &&
           header->checksum == crc32_of(header->places, sizeof header->places);
}
