/* volume.c: see volume.h. */
#include "volume.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum { SECTOR = 512, ISO_DESCRIPTOR = 32768 };

static void volume_copy_label(char *label, size_t size, const unsigned char *from, size_t length)
{
    if (length > size - 1)
        length = size - 1;
    memcpy(label, from, length);
    while (length > 0 && (label[length - 1] == ' ' || label[length - 1] == '\0'))
        length--;
    label[length] = '\0';
}

/* ECMA-167, 2/8.3.1: the recognition sequence, of sectors of 2,048 bytes. */
static bool volume_is_udf(int device)
{
    enum { MAX_DESCRIPTORS = 16, SIZE = 2048 };
    char descriptor[6];
    for (off_t i = 0; i < MAX_DESCRIPTORS; i++) {
        if (pread(device, descriptor, sizeof descriptor, ISO_DESCRIPTOR + i * SIZE) !=
                sizeof descriptor ||
            !descriptor[1])
            return false;
        if (memcmp(descriptor + 1, "NSR02", 5) == 0 || memcmp(descriptor + 1, "NSR03", 5) == 0)
            return true;
    }
    return false;
}

const char *volume_type(int device, char *label, size_t size)
{
    unsigned char sector[SECTOR];
    /* ECMA-119, 8.4: a primary volume descriptor, its identifier and the volume's. */
    if (pread(device, sector, SECTOR, ISO_DESCRIPTOR) == SECTOR &&
        memcmp(sector, "\1CD001", 6) == 0) {
        volume_copy_label(label, size, sector + 40, 32);
        return "iso9660";
    }
    if (volume_is_udf(device)) {
        label[0] = '\0';
        return "udf";
    }
    if (pread(device, sector, SECTOR, 0) != SECTOR || sector[510] != 0x55 || sector[511] != 0xaa)
        return NULL;
    /* Microsoft's FAT specification, 3.2 and 3.3: BS_VolLab before BS_FilSysType. */
    if (memcmp(sector + 82, "FAT32   ", 8) == 0)
        volume_copy_label(label, size, sector + 71, 11);
    else if (memcmp(sector + 54, "FAT1", 4) == 0)
        volume_copy_label(label, size, sector + 43, 11);
    else
        return NULL;
    return "vfat";
}
