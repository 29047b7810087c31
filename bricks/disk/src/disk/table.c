/*
 * table.c: MBR and GPT (UEFI 2.10, 5.2 and 5.3).
 *
 * The mark of an unfinished format is an MBR with UNFINISHED_ID as disk signature and one partition
 * of type 0xda ("non-file-system data"): no system mounts that, and no tool makes that pair.
 */
#include "disk/table.h"

#include "disk/bytes.h"
#include "disk/gpt.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    MIB = 1 << 20,
    MBR_ID = 440,
    MBR_ENTRIES = 446,
    TYPE_LINUX = 0x83,
    TYPE_PROTECTIVE = 0xee,
    TYPE_UNFINISHED = 0xda,
};

#define UNFINISHED_ID UINT32_C(0x546d7046)

const char *table_name(enum table_kind kind)
{
    return kind == TABLE_GPT ? "GPT" : "MBR";
}

static bool table_is_mbr(const uint8_t *sector)
{
    if (sector[510] != 0x55 || sector[511] != 0xaa)
        return false;
    bool any = false;
    for (int index = 0; index < 4; index++) {
        const uint8_t *entry = sector + MBR_ENTRIES + 16 * index;
        /* A FAT boot sector has code here: only 0 and 0x80 are states of a partition. */
        if ((entry[0] & 0x7f) != 0)
            return false;
        any = any || (entry[4] != 0 && little32(entry + 12) != 0);
    }
    return any;
}

static void table_read_mbr(const struct disk *disk, const uint8_t *sector, struct table *table)
{
    table->kind = TABLE_MBR;
    table->unfinished =
        little32(sector + MBR_ID) == UNFINISHED_ID && sector[MBR_ENTRIES + 4] == TYPE_UNFINISHED;
    for (unsigned index = 0; index < 4; index++) {
        const uint8_t *entry = sector + MBR_ENTRIES + 16 * index;
        if (entry[4] == 0 || little32(entry + 12) == 0)
            continue;
        table->partitions[table->count++] = (struct partition){
            .number = index + 1,
            .start = (uint64_t)little32(entry + 8) * disk->sector,
            .size = (uint64_t)little32(entry + 12) * disk->sector,
            .linux_data = entry[4] == TYPE_LINUX,
        };
    }
}

int table_read(const struct disk *disk, struct table *table, struct failure *failure)
{
    uint8_t sector[512];
    *table = (struct table){0};
    if (disk->size < 4096)
        return 0;
    if (read_at(disk->descriptor, sector, sizeof sector, 0) < 0)
        return failed_errno(failure, "cannot be read");
    bool mbr = table_is_mbr(sector);
    bool protective = false;
    for (int index = 0; mbr && index < 4; index++)
        protective = protective || sector[MBR_ENTRIES + 16 * index + 4] == TYPE_PROTECTIVE;
    if (!mbr || protective) {
        int found = gpt_read(disk, table, failure);
        if (found != 0)
            return found < 0 ? -1 : 0;
    }
    if (mbr)
        table_read_mbr(disk, sector, table);
    return 0;
}

int table_plan(const struct disk *disk, enum table_kind kind, struct partition *partition,
               struct failure *failure)
{
    uint64_t end = kind == TABLE_GPT ? gpt_end(disk) : disk->size;
    if (kind == TABLE_MBR && end > (UINT64_C(1) << 32) * disk->sector)
        end = (UINT64_C(1) << 32) * disk->sector;
    end -= end % MIB;
    if (end < 4 * MIB)
        return failed(failure, "is smaller than 4 MiB");
    *partition =
        (struct partition){.number = 1, .start = MIB, .size = end - MIB, .linux_data = true};
    return 0;
}

static void table_fill_mbr(const struct disk *disk, uint8_t *sector, uint8_t type, uint32_t id,
                           uint64_t start, uint64_t size)
{
    uint8_t *entry = sector + MBR_ENTRIES;
    uint64_t sectors = size / disk->sector;
    memset(sector, 0, 512);
    put_little32(sector + MBR_ID, id);
    /* No cylinders: "beyond what they can say". */
    memcpy(entry + 1, "\xfe\xff\xff", 3);
    entry[4] = type;
    memcpy(entry + 5, "\xfe\xff\xff", 3);
    put_little32(entry + 8, (uint32_t)(start / disk->sector));
    put_little32(entry + 12, sectors > UINT32_MAX ? UINT32_MAX : (uint32_t)sectors);
    sector[510] = 0x55, sector[511] = 0xaa;
}

static int table_write(const struct disk *disk, const void *bytes, size_t length, uint64_t offset,
                       struct failure *failure)
{
    if (write_at(disk->descriptor, bytes, length, offset) < 0 || fsync(disk->descriptor) < 0)
        return failed_errno(failure, "cannot be written");
    return 0;
}

int table_begin(const struct disk *disk, const struct partition *partition, struct failure *failure)
{
    uint8_t sector[512];
    table_fill_mbr(disk, sector, TYPE_UNFINISHED, UNFINISHED_ID, partition->start, partition->size);
    if (table_write(disk, sector, sizeof sector, 0, failure) < 0)
        return -1;
    uint8_t *zeros = calloc(1, MIB);
    if (!zeros)
        return failed_errno(failure, "no memory");
    uint64_t end = partition->start + partition->size;
    int status = 0;
    if (table_write(disk, zeros, MIB - sizeof sector, sizeof sector, failure) < 0 ||
        table_write(disk, zeros, MIB, partition->start, failure) < 0 ||
        table_write(disk, zeros, MIB, end - MIB, failure) < 0 ||
        table_write(disk, zeros, MIB, disk->size - MIB, failure) < 0)
        status = -1;
    free(zeros);
    return status;
}

/* Never UNFINISHED_ID and never 0, of which PARTUUIDs cannot be made. */
static uint32_t table_random_id(void)
{
    uint32_t id = 0;
    while (id == 0 || id == UNFINISHED_ID)
        if (getrandom(&id, sizeof id, 0) != sizeof id)
            id = 1;
    return id;
}

int table_finish(const struct disk *disk, enum table_kind kind, const struct partition *partition,
                 struct failure *failure)
{
    uint8_t sector[512];
    if (kind == TABLE_GPT) {
        if (gpt_write(disk, partition, failure) < 0)
            return -1;
        table_fill_mbr(disk, sector, TYPE_PROTECTIVE, 0, disk->sector, disk->size - disk->sector);
    } else {
        table_fill_mbr(disk, sector, TYPE_LINUX, table_random_id(), partition->start,
                       partition->size);
    }
    return table_write(disk, sector, sizeof sector, 0, failure);
}

int table_adopt(const struct disk *disk, const uint8_t *head, struct failure *failure)
{
    uint8_t sector[512];
    uint64_t sectors = disk->size / disk->sector - 1;
    memcpy(sector, head, sizeof sector);
    if (sector[MBR_ENTRIES + 4] != TYPE_PROTECTIVE)
        return failed(failure, "the image has no protective record");
    put_little32(sector + MBR_ENTRIES + 12, sectors > UINT32_MAX ? UINT32_MAX : (uint32_t)sectors);
    if (gpt_adopt(disk, head, failure) < 0)
        return -1;
    return table_write(disk, sector, sizeof sector, 0, failure);
}

uint64_t table_room(const struct disk *disk, const struct table *table)
{
    const struct partition *partition = &table->partitions[0];
    uint64_t end = table->kind == TABLE_GPT ? gpt_end(disk) : disk->size;
    if (table->kind == TABLE_MBR && end - partition->start > UINT32_MAX * (uint64_t)disk->sector)
        end = partition->start + UINT32_MAX * (uint64_t)disk->sector;
    end -= end % MIB;
    /* What another tool has made to the very end stays as it is. */
    return end > partition->start + partition->size ? end - partition->start : partition->size;
}

/* The protective MBR covers the disk as it is. */
static int table_protect(const struct disk *disk, struct failure *failure)
{
    uint8_t sector[512];
    uint64_t sectors = disk->size / disk->sector - 1;
    if (read_at(disk->descriptor, sector, sizeof sector, 0) < 0)
        return failed_errno(failure, "cannot be read");
    put_little32(sector + MBR_ENTRIES + 12, sectors > UINT32_MAX ? UINT32_MAX : (uint32_t)sectors);
    return table_write(disk, sector, sizeof sector, 0, failure);
}

int table_set(const struct disk *disk, const struct table *table, const struct partition *partition,
              struct failure *failure)
{
    if (gpt_set(disk, table, partition, failure) < 0)
        return -1;
    return table_protect(disk, failure);
}

int table_extend(const struct disk *disk, const struct table *table, uint64_t size,
                 struct failure *failure)
{
    struct partition partition = table->partitions[0];
    uint8_t sector[512];
    partition.size = size;
    if (table->kind == TABLE_GPT)
        return table_set(disk, table, &partition, failure);
    if (read_at(disk->descriptor, sector, sizeof sector, 0) < 0)
        return failed_errno(failure, "cannot be read");
    put_little32(sector + MBR_ENTRIES + 16 * (partition.number - 1) + 12,
                 (uint32_t)(size / disk->sector));
    return table_write(disk, sector, sizeof sector, 0, failure);
}
