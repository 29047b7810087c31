/*
 * crc32.h: the checksum of GPTs (UEFI 2.10, 5.3.2), gzip (RFC 1952, 8) and the slots' record: the
 * reflected polynomial 0xedb88320. A bit at a time: what it is taken of is small.
 */
#ifndef COMPOS_CRC32_H
#define COMPOS_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The CRC-32 of `size` bytes. */
uint32_t crc32_of(const void *bytes, size_t size);

#endif
