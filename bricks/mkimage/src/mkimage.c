/*
 * mkimage.c: mkimage [-force] [-loader DIR] [TARGET SOURCE]: makes a disk that a BIOS boots of a
 * tar with kernel, initrd and command line on another disk.
 *
 * As with `format`, the first sector says all the time what the disk is: nothing, then the mark of
 * an unfinished format (disk/table.h), and the boot sector when all the rest is on the disk.
 */
#include "archive.h"
#include "disk/block.h"
#include "disk/bytes.h"
#include "disk/contents.h"
#include "disk/flags.h"
#include "disk/report.h"
#include "fat.h"
#include "loader.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, HEAD = 1024, DISK_ROUNDS = 50, DISK_NANOSECONDS = 100000000 };

struct request {
    const char *loader;
    bool force;
};

/* Target and source by their paths; empty until they are found. */
struct pair {
    char target[BLOCK_PATH];
    char source[BLOCK_PATH];
};

#define mkimage_say(...) report("mkimage", __VA_ARGS__)

/* `hash` grows with the bytes: the disk's number follows from what is on it (FNV-1a). */
static int mkimage_copy(const struct disk *source, const struct archive_file *file,
                        const struct disk *target, uint64_t start, uint32_t *hash,
                        struct failure *failure)
{
    int status = 0;
    uint8_t *bytes = malloc(MIB);
    if (!bytes)
        return failed_errno(failure, "no memory");
    for (uint64_t done = 0; status == 0 && done < file->size;) {
        size_t length = file->size - done < MIB ? (size_t)(file->size - done) : MIB;
        if (read_at(source->descriptor, bytes, length, file->start + done) < 0)
            status = failed_errno(failure, "the source cannot be read");
        else if (write_at(target->descriptor, bytes, length, start + done) < 0)
            status = failed_errno(failure, "cannot be written");
        for (size_t i = 0; i < length; i++)
            *hash = (*hash ^ bytes[i]) * 16777619;
        done += length;
    }
    free(bytes);
    return status;
}

static int mkimage_check(const struct disk *source, const struct archive_file files[],
                         struct failure *failure)
{
    uint8_t head[HEAD];
    if (files[ARCHIVE_KERNEL].size < HEAD)
        return failed(failure, "the kernel has only %llu bytes",
                      (unsigned long long)files[ARCHIVE_KERNEL].size);
    if (read_at(source->descriptor, head, sizeof head, files[ARCHIVE_KERNEL].start) < 0)
        return failed_errno(failure, "the source cannot be read");
    return loader_check(head, files[ARCHIVE_CMDLINE].size, files[ARCHIVE_INITRD].size, failure);
}

static int mkimage_sync(const struct disk *disk, struct failure *failure)
{
    return fsync(disk->descriptor) < 0 ? failed_errno(failure, "cannot be written") : 0;
}

/* Everything but the first sector, which is `sector` in the end. */
static int mkimage_fill(const struct request *request, const struct disk *source,
                        const struct archive_file files[], const struct disk *target,
                        uint8_t sector[512], struct failure *failure)
{
    struct fat_file made[ARCHIVE_FILES] = {
        [ARCHIVE_KERNEL] = {"KERNEL     ", files[ARCHIVE_KERNEL].size, 0},
        [ARCHIVE_CMDLINE] = {"CMDLINE    ", files[ARCHIVE_CMDLINE].size, 0},
        [ARCHIVE_INITRD] = {"INITRD  IMG", files[ARCHIVE_INITRD].size, 0},
    };
    struct loader_place places[ARCHIVE_FILES];
    struct fat_shape shape;
    uint8_t loader[LOADER_SIZE];
    uint32_t hash = 2166136261;
    fat_plan(made, ARCHIVE_FILES, &shape);
    const struct partition partition = {
        .number = 1, .start = MIB, .size = shape.sectors * FAT_SECTOR};
    if (partition.size > target->size || MIB > target->size - partition.size)
        return failed(failure, "is too small: %llu MiB are needed",
                      (unsigned long long)((partition.size - 1) / MIB + 2));
    for (int i = 0; i < ARCHIVE_FILES; i++)
        places[i] = (struct loader_place){MIB + made[i].start, made[i].size};
    if (loader_make(request->loader, places, loader, failure) < 0 ||
        table_begin(target, &partition, failure) < 0)
        return -1;
    for (int i = 0; i < ARCHIVE_FILES; i++)
        if (mkimage_copy(source, &files[i], target, places[i].start, &hash, failure) < 0)
            return -1;
    if (loader_make_mbr(request->loader, &partition, hash, sector, failure) < 0 ||
        fat_write(target->descriptor, MIB, &shape, made, ARCHIVE_FILES, hash, failure) < 0)
        return -1;
    if (write_at(target->descriptor, loader, sizeof loader, LOADER_SECTOR * FAT_SECTOR) < 0)
        return failed_errno(failure, "cannot be written");
    return mkimage_sync(target, failure);
}

static int mkimage_make(const struct request *request, const struct disk *source,
                        const struct disk *target, struct failure *failure)
{
    struct archive_file files[ARCHIVE_FILES];
    uint8_t sector[512];
    if (target->sector != FAT_SECTOR)
        return failed(failure, "has sectors of %u bytes, which no BIOS boots", target->sector);
    if (archive_read(source, files, failure) < 0 || mkimage_check(source, files, failure) < 0 ||
        mkimage_fill(request, source, files, target, sector, failure) < 0)
        return -1;
    if (write_at(target->descriptor, sector, sizeof sector, 0) < 0)
        return failed_errno(failure, "cannot be written");
    return mkimage_sync(target, failure);
}

/* Whether the disk may be written to; says why not, if `say`. */
static bool mkimage_may_write(const struct request *request, const char *path, bool say)
{
    struct failure failure;
    struct disk disk;
    char text[700];
    if (disk_open(&disk, path, O_RDWR | O_EXCL, &failure) < 0) {
        if (say)
            mkimage_say("%s; nothing is changed", failure.text);
        return false;
    }
    int contents = contents_read(&disk, text, sizeof text, &failure);
    close(disk.descriptor);
    if (contents == CONTENTS_BLANK || contents == CONTENTS_UNFINISHED || request->force)
        return true;
    if (say)
        mkimage_say("%s holds %s; nothing is changed", path,
                    contents < 0 ? "what cannot be read" : text);
    return false;
}

static bool mkimage_is_source(const char *path)
{
    struct failure failure;
    struct disk disk;
    if (disk_open(&disk, path, O_RDONLY, &failure) < 0)
        return false;
    bool found = archive_is_there(&disk, &failure) > 0;
    close(disk.descriptor);
    return found;
}

/*
 * The first disk that begins with a tar, and the first that may be written to; of others, if `say`,
 * what they hold.
 */
static bool mkimage_look(const struct request *request, struct pair *pair, bool say)
{
    static struct block_list list;
    struct failure failure;
    char path[BLOCK_PATH];
    if (block_disks(&list, &failure) < 0)
        return false;
    for (size_t i = 0; i < list.count; i++) {
        block_path(list.names[i], path, sizeof path);
        if (mkimage_is_source(path)) {
            if (!*pair->source)
                strcpy(pair->source, path);
        } else if (!*pair->target && mkimage_may_write(request, path, say)) {
            strcpy(pair->target, path);
        }
    }
    return *pair->source && *pair->target;
}

/* Drivers find disks on their own time. */
static int mkimage_find(const struct request *request, struct pair *pair)
{
    const struct timespec pause = {.tv_nsec = DISK_NANOSECONDS};
    for (int round = 0; round < DISK_ROUNDS; round++) {
        if (mkimage_look(request, pair, false))
            return 0;
        nanosleep(&pause, NULL);
    }
    mkimage_look(request, pair, true);
    if (!*pair->source)
        mkimage_say("no disk begins with a tar, as -f tar-kernel-initrd writes it");
    else
        mkimage_say("no disk is blank");
    return -1;
}

static int mkimage_run(const struct request *request, const struct pair *pair)
{
    struct failure failure;
    struct disk source, target;
    if (disk_open(&source, pair->source, O_RDONLY, &failure) < 0 ||
        disk_open(&target, pair->target, O_RDWR | O_EXCL, &failure) < 0) {
        mkimage_say("%s; nothing is changed", failure.text);
        return 1;
    }
    if (mkimage_make(request, &source, &target, &failure) < 0) {
        mkimage_say("%s from %s: %s", pair->target, pair->source, failure.text);
        return 1;
    }
    mkimage_say("%s boots what %s holds", pair->target, pair->source);
    return 0;
}

int main(int count, char *arguments[])
{
    struct request request = {.loader = "/usr/lib/mkimage"};
    struct pair pair = {"", ""};
    struct failure failure;
    const struct flag flags[] = {
        {"force", NULL, &request.force},
        {"loader", &request.loader, NULL},
        {NULL, NULL, NULL},
    };
    int rest = flags_read(count, arguments, flags, &failure);
    if (rest < 0 || (count != rest && count != rest + 2) || (request.force && count == rest)) {
        mkimage_say("%s", rest < 0 ? failure.text : "usage: mkimage [-force] [TARGET SOURCE]");
        return 2;
    }
    if (count == rest)
        return mkimage_find(&request, &pair) < 0 ? 1 : mkimage_run(&request, &pair);
    snprintf(pair.target, sizeof pair.target, "%s", arguments[rest]);
    snprintf(pair.source, sizeof pair.source, "%s", arguments[rest + 1]);
    return mkimage_may_write(&request, pair.target, true) ? mkimage_run(&request, &pair) : 1;
}
