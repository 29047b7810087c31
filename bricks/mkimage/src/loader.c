/* loader.c: see loader.h. Offsets as in src/compos/boot/bios.py. */
#include "loader.h"

#include "base/files.h"
#include "disk/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SECTOR = 512,
    MAX_CMDLINE = 0x20000 - 0x1e000 - 1, /* loader.S keeps it between these */
    MBR_CODE = 440,
    MBR_PACKET_SECTOR = 424 + 8,
    PARAMETERS = 16,
};

static const char loader_mark[] = "compos-1";

int loader_check(const uint8_t head[1024], uint64_t cmdline, uint64_t initrd,
                 struct failure *failure)
{
    /* boot.rst, "Details of Header Fields" */
    unsigned version = little16(head + 0x206);
    bool loaded_high = head[0x211] & 1;
    uint64_t initrd_most = little32(head + 0x22c);
    uint64_t cmdline_most = little32(head + 0x238);
    uint64_t needed = little64(head + 0x258) + little32(head + 0x260);
    if (little16(head + 0x1fe) != 0xaa55 || memcmp(head + 0x202, "HdrS", 4) != 0 || !loaded_high)
        return failed(failure, "the kernel is not a bzImage, which a BIOS loader requires");
    if (version < 0x20a)
        return failed(failure,
                      "the kernel supports version %#x of the boot protocol, 0x20a is required",
                      version);
    if (cmdline > cmdline_most || cmdline > MAX_CMDLINE)
        return failed(
            failure, "the command line has %llu bytes, but this kernel accepts %llu",
            (unsigned long long)cmdline,
            (unsigned long long)(cmdline_most < MAX_CMDLINE ? cmdline_most : MAX_CMDLINE));
    if (needed > initrd_most + 1 || initrd > initrd_most + 1 - needed)
        return failed(failure, "the initrd has %llu bytes, which is too much for a BIOS",
                      (unsigned long long)initrd);
    return 0;
}

/* A file of exactly `size` bytes. */
static int loader_read(const char *folder, const char *name, uint8_t *bytes, size_t size,
                       struct failure *failure)
{
    char path[PATH_SIZE];
    size_t length;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *found = file_read(path, size, &length);
    if (!found)
        return failed_errno(failure, "%s", path);
    bool whole = length == size;
    memcpy(bytes, found, length);
    free(found);
    return whole ? 0 : failed(failure, "%s: not of %zu bytes", path, size);
}

int loader_make(const char *folder, const struct loader_place places[3],
                uint8_t loader[LOADER_SIZE], struct failure *failure)
{
    if (loader_read(folder, "loader.bin", loader, LOADER_SIZE, failure) < 0)
        return -1;
    uint8_t *at = loader + PARAMETERS;
    if (memcmp(at, loader_mark, 8) != 0)
        return failed(failure, "%s/loader.bin: not compos's loader", folder);
    at += 8 + 8; /* behind it, a sector's size as a power of two: 512 as it is */
    for (int i = 0; i < 3; i++, at += 12) {
        put_little64(at, places[i].start / SECTOR);
        put_little32(at + 8, (uint32_t)places[i].size);
    }
    return 0;
}

int loader_make_mbr(const char *folder, const struct partition *partition, uint32_t number,
                    uint8_t sector[512], struct failure *failure)
{
    memset(sector, 0, SECTOR);
    if (loader_read(folder, "mbr.bin", sector, MBR_CODE, failure) < 0)
        return -1;
    put_little64(sector + MBR_PACKET_SECTOR, LOADER_SECTOR);
    put_little32(sector + MBR_CODE, number);
    uint8_t *entry = sector + 446;
    /* Active; no cylinders: "beyond what they can say". */
    memcpy(entry, "\x80\xfe\xff\xff\x0c\xfe\xff\xff", 8);
    put_little32(entry + 8, (uint32_t)(partition->start / SECTOR));
    put_little32(entry + 12, (uint32_t)(partition->size / SECTOR));
    sector[510] = 0x55, sector[511] = 0xaa;
    return 0;
}
