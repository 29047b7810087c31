/* block.c: see block.h. */
#include "slots/block.h"

#include "base/boot_header.h"
#include "base/crc32.h"
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MARK "COMPSLOT\1\0\0"

enum {
    COPIES = 2,
    DISTANCE = 65536,
    SIZE = 4096,
    SEQUENCE = 12,
    FIRST = 16,
    NEXT = 17,
    TRIES = 18,
    STARTED = 19,
    LENGTH = 20,
    TEXT = 24,
    CHECKSUM = SIZE - 4,
    NONE = 255,
    MARK_SIZE = 12
};

static uint32_t block_number(const unsigned char *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void block_put(unsigned char *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(value >> 8 * i);
}

static bool block_is_whole(const unsigned char *bytes)
{
    return memcmp(bytes, MARK, MARK_SIZE) == 0 &&
           block_number(bytes + CHECKSUM) == crc32_of(bytes, CHECKSUM) && bytes[FIRST] <= 1 &&
           block_number(bytes + LENGTH) < RECORD_SIZE;
}

/* Reads the copies; the newest one stands first in `bytes`. Its number, or -1. */
static int block_read(int device, unsigned char *bytes)
{
    unsigned char other[SIZE];
    int newest = -1;
    for (int copy = 0; copy < COPIES; copy++) {
        if (pread(device, other, SIZE, (off_t)copy * DISTANCE) != SIZE || !block_is_whole(other))
            continue;
        if (newest < 0 || block_number(other + SEQUENCE) > block_number(bytes + SEQUENCE)) {
            memcpy(bytes, other, SIZE);
            newest = copy;
        }
    }
    return newest;
}

static int block_open(const struct table *table, int flags)
{
    char path[PATH_SIZE];
    if (!table->block.number) {
        errno = ENODEV;
        return -1;
    }
    snprintf(path, sizeof path, "%s/%s", table_devices, table->block.device);
    return open(path, flags | O_CLOEXEC);
}

static int block_slot(unsigned char byte)
{
    return byte < SLOT_COUNT ? byte : SLOT_NONE;
}

int block_load(const struct table *table, struct record *record)
{
    unsigned char bytes[SIZE];
    char text[RECORD_SIZE];
    int device = block_open(table, O_RDONLY);
    if (device < 0)
        return -1;
    int newest = block_read(device, bytes);
    close(device);
    errno = EINVAL;
    if (newest < 0)
        return -1;
    uint32_t length = block_number(bytes + LENGTH);
    memcpy(text, bytes + TEXT, length);
    text[length] = '\0';
    if (record_parse(record, text) < 0)
        return -1;
    record->sequence = block_number(bytes + SEQUENCE);
    record->first = block_slot(bytes[FIRST]);
    record->next = bytes[TRIES] > 0 ? block_slot(bytes[NEXT]) : SLOT_NONE;
    record->started = block_slot(bytes[STARTED]);
    return 0;
}

int block_save(const struct table *table, struct record *record)
{
    unsigned char bytes[SIZE] = {0}, old[SIZE];
    int device = block_open(table, O_RDWR);
    if (device < 0)
        return -1;
    int newest = block_read(device, old);
    /* A copy whose text means nothing must not stay the newer one. */
    if (newest >= 0 && block_number(old + SEQUENCE) >= record->sequence)
        record->sequence = block_number(old + SEQUENCE) + 1;
    memcpy(bytes, MARK, MARK_SIZE);
    block_put(bytes + SEQUENCE, record->sequence);
    bytes[FIRST] = record->first == SLOT_B;
    bytes[NEXT] = record->next == SLOT_NONE ? NONE : (unsigned char)record->next;
    bytes[TRIES] = record->next != SLOT_NONE;
    bytes[STARTED] = record->started == SLOT_NONE ? NONE : (unsigned char)record->started;
    block_put(bytes + LENGTH, (uint32_t)record_print(record, (char *)bytes + TEXT));
    block_put(bytes + CHECKSUM, crc32_of(bytes, CHECKSUM));
    bool written =
        pwrite(device, bytes, SIZE, newest == 0 ? DISTANCE : 0) == SIZE && fdatasync(device) == 0;
    int reason = errno;
    close(device);
    errno = reason;
    return written ? 0 : -1;
}

bool block_is_startable(const unsigned char *sector)
{
    struct boot_header header;
    memcpy(&header, sector + BOOT_HEADER_AT, sizeof header);
    return boot_header_is_whole(&header);
}
