/* fat.c: see fat.h. */
#include "fat.h"

#include "disk/bytes.h"

#include <stdlib.h>
#include <string.h>

enum {
    RESERVED = 32,
    INFO = 1,              /* sector of FSInfo */
    BACKUP = 6,            /* sector of the boot sector's copy */
    ROOT = 2,              /* the root directory's cluster */
    FEWEST = 65525 + 16,   /* clusters: fewer make it a FAT16 */
    PREFERRED = 1 << 20,   /* clusters: more need tables of more than 4 MiB */
    MAX_CLUSTER = 1 << 15, /* bytes */
    ENTRY = 32,
    END = 0x0fffffff,
    MEDIA = 0xf8,
};

static uint64_t fat_clusters_of(uint64_t size, uint32_t cluster)
{
    return (size + cluster - 1) / cluster;
}

void fat_plan(struct fat_file files[], size_t count, struct fat_shape *shape)
{
    uint64_t needed;
    *shape = (struct fat_shape){.cluster = FAT_SECTOR};
    for (;; shape->cluster *= 2) {
        needed = 1;
        for (size_t i = 0; i < count; i++)
            needed += fat_clusters_of(files[i].size, shape->cluster);
        if (needed <= PREFERRED || shape->cluster == MAX_CLUSTER)
            break;
    }
    shape->clusters = (uint32_t)(needed < FEWEST ? FEWEST : needed);
    shape->table = (uint32_t)(((uint64_t)shape->clusters + 2) * 4 + FAT_SECTOR - 1) / FAT_SECTOR;
    shape->data = RESERVED + 2 * shape->table;
    shape->sectors = shape->data + (uint64_t)shape->clusters * (shape->cluster / FAT_SECTOR);
    uint64_t at = (uint64_t)shape->data * FAT_SECTOR + shape->cluster;
    for (size_t i = 0; i < count; i++) {
        files[i].start = at;
        at += fat_clusters_of(files[i].size, shape->cluster) * shape->cluster;
    }
}

static void fat_put16(uint8_t *bytes, uint32_t number)
{
    bytes[0] = (uint8_t)number;
    bytes[1] = (uint8_t)(number >> 8);
}

static uint32_t fat_first(const struct fat_shape *shape, const struct fat_file *file)
{
    uint64_t data = (uint64_t)shape->data * FAT_SECTOR;
    return file->size ? (uint32_t)((file->start - data) / shape->cluster + ROOT) : 0;
}

static void fat_fill_boot(uint8_t *sector, const struct fat_shape *shape, uint32_t hidden,
                          uint32_t serial)
{
    memset(sector, 0, FAT_SECTOR);
    memcpy(sector,
           "\xeb\x58\x90"
           "COMPOS  ",
           11);
    fat_put16(sector + 11, FAT_SECTOR);
    sector[13] = (uint8_t)(shape->cluster / FAT_SECTOR);
    fat_put16(sector + 14, RESERVED);
    sector[16] = 2; /* tables */
    sector[21] = MEDIA;
    fat_put16(sector + 24, 63);  /* sectors of a track */
    fat_put16(sector + 26, 255); /* heads */
    put_little32(sector + 28, hidden);
    put_little32(sector + 32, (uint32_t)shape->sectors);
    put_little32(sector + 36, shape->table);
    put_little32(sector + 44, ROOT);
    fat_put16(sector + 48, INFO);
    fat_put16(sector + 50, BACKUP);
    sector[64] = 0x80; /* drive */
    sector[66] = 0x29; /* the three fields that follow are there */
    put_little32(sector + 67, serial);
    memcpy(sector + 71, "COMPOS     FAT32   ", 19);
    sector[510] = 0x55, sector[511] = 0xaa;
}

static void fat_fill_info(uint8_t *sector)
{
    memset(sector, 0, FAT_SECTOR);
    memcpy(sector, "RRaA", 4);
    memcpy(sector + 484, "rrAa", 4);
    put_little32(sector + 488, UINT32_MAX); /* how many are free is not known */
    put_little32(sector + 492, UINT32_MAX);
    sector[510] = 0x55, sector[511] = 0xaa;
}

/* A chain for the root directory and each file: every cluster names the next. */
static uint8_t *fat_make_table(const struct fat_shape *shape, const struct fat_file files[],
                               size_t count)
{
    uint8_t *table = calloc(shape->table, FAT_SECTOR);
    if (!table)
        return NULL;
    put_little32(table, 0x0fffff00 | MEDIA);
    put_little32(table + 4, END);
    put_little32(table + 4 * ROOT, END);
    for (size_t i = 0; i < count; i++) {
        uint32_t first = fat_first(shape, &files[i]);
        uint64_t clusters = fat_clusters_of(files[i].size, shape->cluster);
        for (uint32_t at = first; at < first + clusters; at++)
            put_little32(table + 4 * (uint64_t)at, at + 1 < first + clusters ? at + 1 : END);
    }
    return table;
}

static void fat_fill_entry(uint8_t *entry, const char *name, uint8_t attributes, uint32_t cluster,
                           uint32_t size)
{
    enum { DAY = 1 << 5 | 1 }; /* 1 January 1980 */
    memcpy(entry, name, 11);
    entry[11] = attributes;
    fat_put16(entry + 16, DAY);
    fat_put16(entry + 18, DAY);
    fat_put16(entry + 24, DAY);
    fat_put16(entry + 20, cluster >> 16);
    fat_put16(entry + 26, cluster);
    put_little32(entry + 28, size);
}

int fat_write(int disk, uint64_t offset, const struct fat_shape *shape,
              const struct fat_file files[], size_t count, uint32_t serial, struct failure *failure)
{
    enum { VOLUME = 0x08, ARCHIVE = 0x20 };
    uint8_t boot[FAT_SECTOR], info[FAT_SECTOR], root[FAT_SECTOR] = {0};
    fat_fill_boot(boot, shape, (uint32_t)(offset / FAT_SECTOR), serial);
    fat_fill_info(info);
    fat_fill_entry(root, "COMPOS     ", VOLUME, 0, 0);
    for (size_t i = 0; i < count; i++)
        fat_fill_entry(root + ENTRY * (i + 1), files[i].name, ARCHIVE, fat_first(shape, &files[i]),
                       (uint32_t)files[i].size);
    uint8_t *table = fat_make_table(shape, files, count);
    if (!table)
        return failed_errno(failure, "no memory");
    size_t length = (size_t)shape->table * FAT_SECTOR;
    uint64_t tables = offset + RESERVED * FAT_SECTOR, data = offset + shape->data * FAT_SECTOR;
    int status = 0;
    for (uint64_t copy = 0; copy <= BACKUP; copy += BACKUP)
        if (write_at(disk, boot, sizeof boot, offset + copy * FAT_SECTOR) < 0 ||
            write_at(disk, info, sizeof info, offset + (copy + INFO) * FAT_SECTOR) < 0)
            status = -1;
    if (status < 0 || write_at(disk, table, length, tables) < 0 ||
        write_at(disk, table, length, tables + length) < 0 ||
        write_at(disk, root, sizeof root, data) < 0)
        status = failed_errno(failure, "cannot be written");
    free(table);
    return status;
}
