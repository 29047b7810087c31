/* gpt.c: the GUID partition table (UEFI 2.10, 5.3). */
#include "disk/gpt.h"

#include "base/crc32.h"
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
    if (crc32_of(header, HEADER_SIZE) != crc)
        return 0;
    memset(entries, 0, ENTRIES_SIZE);
    if (read_at(disk->descriptor, entries, count * ENTRY_SIZE, start * disk->sector) < 0)
        return 0;
    return crc32_of(entries, count * ENTRY_SIZE) == little32(header + 88);
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

/* Names are UTF-16; whatever is not ASCII becomes a question mark. */
static void gpt_read_name(const uint8_t *entry, char name[PARTITION_NAME])
{
    for (size_t index = 0; index < PARTITION_NAME - 1; index++) {
        uint16_t unit = little16(entry + 56 + 2 * index);
        name[index] = unit >= 0x20 && unit < 0x7f ? (char)unit : unit ? '?' : 0;
        if (!unit)
            return;
    }
    name[PARTITION_NAME - 1] = 0;
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
        struct partition *partition = &table->partitions[table->count - 1];
        memcpy(partition->guid, entry + 16, sizeof partition->guid);
        gpt_read_name(entry, partition->name);
    }
    return found;
}

/* A header for `place`, whose other copy is at `other` and whose entries are at `array`. */
static void gpt_seal(const struct disk *disk, uint8_t *header, const uint8_t *entries,
                     uint64_t place, uint64_t other, uint64_t array)
{
    put_little64(header + 24, place);
    put_little64(header + 32, other);
    put_little64(header + 48, gpt_last(disk) - gpt_entry_sectors(disk) - 1);
    put_little64(header + 72, array);
    put_little32(header + 80, TABLE_MOST);
    put_little32(header + 88, crc32_of(entries, ENTRIES_SIZE));
    put_little32(header + 16, 0);
    put_little32(header + 16, crc32_of(header, HEADER_SIZE));
}

static int gpt_store_copy(const struct disk *disk, uint8_t *header, const uint8_t *entries,
                          struct failure *failure)
{
    uint64_t last = gpt_last(disk);
    gpt_seal(disk, header, entries, last, 1, gpt_end(disk) / disk->sector);
    if (write_at(disk->descriptor, entries, ENTRIES_SIZE, gpt_end(disk)) < 0 ||
        write_at(disk->descriptor, header, 512, last * disk->sector) < 0 ||
        fsync(disk->descriptor) < 0)
        return failed_errno(failure, "cannot be written");
    return 0;
}

/* Whether no partition begins before `sector`. */
static bool gpt_is_free(const uint8_t *entries, uint64_t sector)
{
    for (unsigned index = 0; index < TABLE_MOST; index++) {
        const uint8_t *entry = entries + index * ENTRY_SIZE;
        if ((little64(entry) | little64(entry + 8)) != 0 && little64(entry + 32) < sector)
            return false;
    }
    return true;
}

/* The entries at `array`, then the header, one sector, which puts them in force. */
static int gpt_store_first(const struct disk *disk, uint8_t *header, const uint8_t *entries,
                           uint64_t array, struct failure *failure)
{
    gpt_seal(disk, header, entries, 1, gpt_last(disk), array);
    if (write_at(disk->descriptor, entries, ENTRIES_SIZE, array * disk->sector) < 0 ||
        fsync(disk->descriptor) < 0 || write_at(disk->descriptor, header, 512, disk->sector) < 0 ||
        fsync(disk->descriptor) < 0)
        return failed_errno(failure, "cannot be written");
    return 0;
}

/*
 * `array`: the entries of the first copy that are in force, 0 if none are. Linux looks at no other
 * copy, so these stay whole until others are: new ones are put in force elsewhere, and then written
 * and put in force at the usual place. Elsewhere is behind the usual place, or where a partition
 * leaves no room, in the copy at the end of the disk, which has been written by then.
 */
static int gpt_store(const struct disk *disk, uint8_t *header, const uint8_t *entries,
                     uint64_t array, struct failure *failure)
{
    const uint64_t usual = 2, behind = usual + 2 * gpt_entry_sectors(disk);
    bool room = gpt_is_free(entries, behind);
    const uint64_t spare = room ? usual + gpt_entry_sectors(disk) : gpt_end(disk) / disk->sector;
    if (room && little64(header + 40) < behind)
        put_little64(header + 40, behind);
    if (gpt_store_copy(disk, header, entries, failure) < 0)
        return -1;
    if (array == usual && gpt_store_first(disk, header, entries, spare, failure) < 0)
        return -1;
    return gpt_store_first(disk, header, entries, usual, failure);
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
    return gpt_store(disk, header, entries, 0, failure);
}

int gpt_adopt(const struct disk *disk, const uint8_t *head, struct failure *failure)
{
    uint8_t header[512];
    const uint8_t *entries = head + 2 * sizeof header;
    memcpy(header, head + sizeof header, sizeof header);
    if (memcmp(header, "EFI PART", 8) != 0 || little32(header + 12) != HEADER_SIZE ||
        little32(header + 80) != TABLE_MOST || little32(header + 84) != ENTRY_SIZE)
        return failed(failure, "the image has no table that can be adopted");
    if (gpt_store_copy(disk, header, entries, failure) < 0)
        return -1;
    return gpt_store_first(disk, header, entries, 2, failure);
}

static void gpt_fill_entry(uint8_t *entry, const struct disk *disk,
                           const struct partition *partition)
{
    memcpy(entry, gpt_linux_data, 16);
    put_little64(entry + 32, partition->start / disk->sector);
    for (size_t index = 0; partition->name[index]; index++)
        entry[56 + 2 * index] = (uint8_t)partition->name[index];
}

int gpt_set(const struct disk *disk, const struct table *table, const struct partition *partition,
            struct failure *failure)
{
    uint8_t header[512], entries[ENTRIES_SIZE];
    int found = gpt_load(disk, table->header_place, header, entries, failure);
    if (found <= 0)
        return found < 0 ? -1 : failed(failure, "has another table than a moment ago");
    const uint64_t array = table->damaged ? 0 : little64(header + 72);
    /* The copy is about to be written: what is in force must not be there. */
    if (array == gpt_end(disk) / disk->sector &&
        gpt_store_first(disk, header, entries, 2, failure) < 0)
        return -1;
    uint8_t *entry = entries + (partition->number - 1) * ENTRY_SIZE;
    if ((little64(entry) | little64(entry + 8)) == 0) {
        gpt_fill_entry(entry, disk, partition);
        if (gpt_random(entry + 16, failure) < 0)
            return -1;
    }
    put_little64(entry + 40, (partition->start + partition->size) / disk->sector - 1);
    return gpt_store(disk, header, entries, array == 0 ? 0 : little64(header + 72), failure);
}
