/* bytes.h: numbers of on-disk records, and whole reads and writes at an offset. */
#ifndef COMPOS_DISK_BYTES_H
#define COMPOS_DISK_BYTES_H

#include <stddef.h>
#include <stdint.h>

uint16_t little16(const uint8_t *bytes);
uint32_t little32(const uint8_t *bytes);
uint64_t little64(const uint8_t *bytes);
uint32_t big32(const uint8_t *bytes);
uint64_t big64(const uint8_t *bytes);
void put_little32(uint8_t *bytes, uint32_t number);
void put_little64(uint8_t *bytes, uint64_t number);

/* All of `length` bytes at `offset`; -1 with errno, EIO where the device ends before. */
int read_at(int descriptor, void *bytes, size_t length, uint64_t offset);
int write_at(int descriptor, const void *bytes, size_t length, uint64_t offset);

#endif
