/*
 * loader.h: compos's BIOS loader (src/compos/boot/loader) with its places filled in, and what the
 * kernel asks of it. Source: Linux, Documentation/arch/x86/boot.rst.
 */
#ifndef COMPOS_LOADER_H
#define COMPOS_LOADER_H

#include "disk/table.h"

enum { LOADER_SECTOR = 1, LOADER_SIZE = 2048 };

/* In bytes from the beginning of the disk; `start` at a sector. */
struct loader_place {
    uint64_t start;
    uint64_t size;
};

/* The kernel can be started with so large a command line and initrd. */
int loader_check(const uint8_t head[1024], uint64_t cmdline, uint64_t initrd,
                 struct failure *failure);

/* The loader for kernel, command line and initrd, from the file loader.bin in `folder`. */
int loader_make(const char *folder, const struct loader_place places[3],
                uint8_t loader[LOADER_SIZE], struct failure *failure);

/*
 * The first sector, which starts the loader, from the file mbr.bin: one active FAT32 partition, in
 * bytes, and the disk's number.
 */
int loader_make_mbr(const char *folder, const struct partition *partition, uint32_t number,
                    uint8_t sector[512], struct failure *failure);

#endif
