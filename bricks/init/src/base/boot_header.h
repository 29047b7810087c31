/*
 * boot_header.h: where the system is in a boot partition, for who starts it without UEFI: our BIOS
 * loader, and kexec.
 *
 * The bytes are those of src/compos/boot/slot_block.py: little-endian, as all machines are that
 * have such a header.
 */
#ifndef COMPOS_BOOT_HEADER_H
#define COMPOS_BOOT_HEADER_H

#include <stdbool.h>
#include <stdint.h>

enum { BOOT_HEADER_AT = 128 }; /* in the partition's first sector */

enum boot_part { BOOT_KERNEL, BOOT_CMDLINE, BOOT_INITRD, BOOT_PARTS };

struct __attribute__((packed)) boot_header {
    char mark[8];
    uint32_t version;
    uint32_t checksum; /* CRC-32 of the places */
    struct __attribute__((packed)) {
        uint64_t sector; /* from the partition's first one */
        uint32_t size;   /* bytes */
    } places[BOOT_PARTS];
};

/* Whether it is one, and its checksum is right. */
bool boot_header_is_whole(const struct boot_header *header);

#endif
