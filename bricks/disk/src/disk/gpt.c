/* gpt.c: the GUID partition table (UEFI 2.10, 5.3). */
#include "disk/gpt.h"

#include "disk/bytes.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    HEADER_SIZE = 92,
    ENTRY_SIZE = 128,
    ENTRIES_SIZE = TABLE_MOST * ENTRY_SIZE,
};

/* 0fc63daf-8483-4772-8e79-3d69d8477de4, Linux filesystem data, as it stands on disk. */
static const uint8_t gpt_linux_data[16] = {0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47,
                                           0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4};

static uint32_t gpt_crc(const uint8_t *bytes, size_t length)
{
    uint32_t crc = UINT32_MAX;
    while (length-- > 0) {
        crc ^= *bytes++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    return ~crc;
}

static uint64_t gpt_entry_sectors(const struct disk *disk)
{
    return (ENTRIES_SIZE + disk->sector - 1) / disk->sector;
}

static uint64_t gpt_last(const struct disk *disk)
{
    return disk->size / disk->sector - 1;
}

uint64_t gpt_end(const struct disk *disk)
{
    return (gpt_last(disk) - gpt_entry_sectors(disk)) * disk->sector;
}

/* Header and entries; both are checked. 1, 0, -1. */
static int gpt_load(const struct disk *disk, uint64_t place, uint8_t *header, uint8_t *entries,
                    struct failure *failure)
{
    if (read_at(disk->descriptor, header, 512, place * disk->sector) < 0)
        return failed_errno(failure, "cannot be read");
    uint32_t crc = little32(header + 16), count = little32(header + 80);
    uint64_t start = little64(header + 72);
    if (memcmp(header, "EFI PART", 8) != 0 || little32(header + 12) != HEADER_SIZE ||
        little64(header + 24) != place || little32(header + 84) != ENTRY_SIZE ||
        count > TABLE_MOST || start > gpt_last(disk))
        return 0;
    put_little32(header + 16, 0);
    if (gpt_crc(header, HEADER_SIZE) != crc)
        return 0;
    memset(entries, 0, ENTRIES_SIZE);
    if (read_at(disk->descriptor, entries, count * ENTRY_SIZE, start * disk->sector) < 0)
        return 0;
    return gpt_crc(entries, count * ENTRY_SIZE) == little32(header + 88);
}

/* The first copy, else that at the end of the disk. */
static int gpt_load_either(const struct disk *disk, struct table *table, uint8_t *header,
                           uint8_t *entries, struct failure *failure)
{
    table->header_place = 1;
    int found = gpt_load(disk, 1, header, entries, failure);
    if (found != 0)
        return found;
    table->damaged = true;
    table->header_place = gpt_last(disk);
    return gpt_load(disk, table->header_place, header, entries, failure);
}

int gpt_read(const struct disk *disk, struct table *table, struct failure *failure)
{
    uint8_t header[512], entries[ENTRIES_SIZE];
    int found = gpt_load_either(disk, table, header, entries, failure);
    table->kind = found > 0 ? TABLE_GPT : TABLE_NONE;
    for (unsigned index = 0; found > 0 && index < TABLE_MOST; index++) {
        const uint8_t *entry = entries + index * ENTRY_SIZE;
        uint64_t first = little64(entry + 32), last = little64(entry + 40);
        if (little64(entry) == 0 && little64(entry + 8) == 0)
            continue;
        if (last < first || last > gpt_last(disk))
            continue;
        table->partitions[table->count++] = (struct partition){
            .number = index + 1,
            .start = first * disk->sector,
            .size = (last - first + 1) * disk->sector,
            .linux_data = memcmp(entry, gpt_linux_data, 16) == 0,
        };
    }
    return found;
}

/* A header for `place`, whose other copy is at `other`. */
static void gpt_seal(const struct disk *disk, uint8_t *header, const uint8_t *entries,
                     uint64_t place, uint64_t other)
{
    put_little64(header + 24, place);
    put_little64(header + 32, other);
    put_little64(header + 48, gpt_last(disk) - gpt_entry_sectors(disk) - 1);
    put_little64(header + 72, place == 1 ? 2 : place - gpt_entry_sectors(disk));
    put_little32(header + 80, TABLE_MOST);
    put_little32(header + 88, gpt_crc(entries, ENTRIES_SIZE));
    put_little32(header + 16, 0);
    put_little32(header + 16, gpt_crc(header, HEADER_SIZE));
}

static int gpt_store_copy(const struct disk *disk, uint8_t *header, const uint8_t *entries,
                          struct failure *failure)
{
    uint64_t last = gpt_last(disk);
    gpt_seal(disk, header, entries, last, 1);
    if (write_at(disk->descriptor, entries, ENTRIES_SIZE, gpt_end(disk)) < 0 ||
        write_at(disk->descriptor, header, 512, last * disk->sector) < 0 ||
        fsync(disk->descriptor) < 0)
        return failed_errno(failure, "cannot be written");
    return 0;
}

/* Header and entries together, the sectors of both in one write. */
static int gpt_store_first(const struct disk *disk, uint8_t *header, const uint8_t *entries,
                           struct failure *failure)
{
    size_t length = disk->sector + ENTRIES_SIZE;
    uint8_t *area = calloc(1, length);
    if (!area)
        return failed_errno(failure, "no memory");
    gpt_seal(disk, header, entries, 1, gpt_last(disk));
    memcpy(area, header, 512);
    memcpy(area + disk->sector, entries, ENTRIES_SIZE);
    int status = 0;
    if (write_at(disk->descriptor, area, length, disk->sector) < 0 || fsync(disk->descriptor) < 0)
        status = failed_errno(failure, "cannot be written");
    free(area);
    return status;
}

static int gpt_store(const struct disk *disk, uint8_t *header, const uint8_t *entries,
                     struct failure *failure)
{
    if (gpt_store_copy(disk, header, entries, failure) < 0)
        return -1;
    return gpt_store_first(disk, header, entries, failure);
}

/* A random GUID of version 4. */
static int gpt_random(uint8_t *guid, struct failure *failure)
{
    if (getrandom(guid, 16, 0) != 16)
        return failed_errno(failure, "no random numbers");
    guid[7] = (uint8_t)((guid[7] & 0x0f) | 0x40);
    guid[8] = (uint8_t)((guid[8] & 0x3f) | 0x80);
    return 0;
}

int gpt_write(const struct disk *disk, const struct partition *partition, struct failure *failure)
{
    uint8_t header[512] = "EFI PART", entries[ENTRIES_SIZE] = {0};
    put_little32(header + 8, 0x10000);
    put_little32(header + 12, HEADER_SIZE);
    put_little64(header + 40, 2 + gpt_entry_sectors(disk));
    put_little32(header + 84, ENTRY_SIZE);
    memcpy(entries, gpt_linux_data, 16);
    if (gpt_random(header + 56, failure) < 0 || gpt_random(entries + 16, failure) < 0)
        return -1;
    put_little64(entries + 32, partition->start / disk->sector);
    put_little64(entries + 40, (partition->start + partition->size) / disk->sector - 1);
    return gpt_store(disk, header, entries, failure);
}

int gpt_extend(const struct disk *disk, const struct table *table, uint64_t size,
               struct failure *failure)
{
    uint8_t header[512], entries[ENTRIES_SIZE];
    int found = gpt_load(disk, table->header_place, header, entries, failure);
    if (found <= 0)
        return found < 0 ? -1 : failed(failure, "has another table than a moment ago");
    const struct partition *partition = &table->partitions[0];
    put_little64(entries + (partition->number - 1) * ENTRY_SIZE + 40,
                 (partition->start + size) / disk->sector - 1);
    return gpt_store(disk, header, entries, failure);
}
