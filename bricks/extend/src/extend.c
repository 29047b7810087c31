/*
 * extend.c: gives the only partition of a disk, and the file system on it (grow.h), the room behind
 * it. The partition is written first: where that is all that was done, the next start sees a file
 * system that is smaller than its partition and goes on.
 */
#include "disk/block.h"
#include "disk/flags.h"
#include "disk/grow.h"
#include "disk/repair.h"
#include "disk/report.h"
#include "disk/signature.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

/* What one disk came to. */
enum outcome { OUTCOME_DONE, OUTCOME_SKIPPED, OUTCOME_FAILED };

#define extend_say(...) report("extend", __VA_ARGS__)

/* What cannot be extended, in words; NULL when it can. */
static const char *extend_objection(const struct table *table, const struct disk *disk)
{
    if (table->unfinished)
        return "its format has not come to its end";
    if (table->kind == TABLE_NONE)
        return "no partition table";
    if (table->count != 1)
        return "not exactly one partition";
    const struct partition *partition = &table->partitions[0];
    if (partition->start >= disk->size || partition->size > disk->size - partition->start)
        return "a partition beyond the end of the disk";
    return NULL;
}

static int extend_partition(const struct disk *disk, const struct table *table, uint64_t size,
                            struct failure *failure)
{
    struct partition wanted = table->partitions[0];
    wanted.size = size;
    if (table_extend(disk, table, size, failure) < 0)
        return -1;
    return disk_resize_partition(disk, &wanted, failure);
}

/* The file system on the partition: of the type that was asked for, if one was. */
static int extend_filesystem(const struct disk *disk, const struct partition *partition,
                             const char *type, struct signature *signature, struct failure *failure)
{
    const struct region region = {disk->descriptor, partition->start, partition->size};
    int found = signature_read(&region, signature, failure);
    if (found < 0)
        return -1;
    if (found == 0)
        return failed(failure, "no file system in its partition; nothing is changed");
    if (!grow_is_possible(signature->name))
        return failed(failure, "a %s %s in its partition; nothing is changed", signature->name,
                      signature->what);
    if (type && strcmp(signature->name, type) != 0)
        return failed(failure, "%s in its partition, not %s; nothing is changed", signature->name,
                      type);
    return 0;
}

static enum outcome extend_open(const struct disk *disk, const char *path, const char *type,
                                struct failure *failure)
{
    struct table table;
    struct signature signature;
    char node[BLOCK_PATH];
    if (table_read(disk, &table, failure) < 0)
        return OUTCOME_FAILED;
    const char *objection = extend_objection(&table, disk);
    if (objection) {
        extend_say("%s: %s; nothing is changed", path, objection);
        return OUTCOME_SKIPPED;
    }
    const struct partition *partition = &table.partitions[0];
    if (!partition->linux_data) {
        failed(failure, "its partition is not of a type for Linux; nothing is changed");
        return OUTCOME_FAILED;
    }
    block_partition_path(path, partition->number, node, sizeof node);
    /* Before anything of it is read: the disk and its partition do not share what they cache. */
    if ((!type || strcmp(type, "ext4") == 0) && access(node, F_OK) == 0 &&
        repair_errors(node, failure) < 0)
        return OUTCOME_FAILED;
    if (extend_filesystem(disk, partition, type, &signature, failure) < 0)
        return OUTCOME_FAILED;
    uint64_t size = table_room(disk, &table);
    if (size < partition->size + MIB)
        size = partition->size;
    if (size == partition->size && signature.size + MIB > size && !table.damaged) {
        extend_say("%s: there is no room behind its file system", path);
        return OUTCOME_SKIPPED;
    }
    if ((size > partition->size || table.damaged) &&
        extend_partition(disk, &table, size, failure) < 0)
        return OUTCOME_FAILED;
    if (block_wait(node, failure) < 0)
        return OUTCOME_FAILED;
    if (grow_filesystem(node, signature.name, size, failure) < 0)
        return OUTCOME_FAILED;
    extend_say("%s: the %s file system has %llu MiB, it had %llu MiB", path, signature.name,
               (unsigned long long)size >> 20, (unsigned long long)signature.size >> 20);
    return OUTCOME_DONE;
}

static enum outcome extend_path(const char *path, const char *type)
{
    struct failure failure;
    struct disk disk;
    if (block_wait(path, &failure) < 0 || disk_open(&disk, path, O_RDWR, &failure) < 0) {
        extend_say("%s", failure.text);
        return OUTCOME_FAILED;
    }
    enum outcome outcome = extend_open(&disk, path, type, &failure);
    close(disk.descriptor);
    if (outcome == OUTCOME_FAILED)
        extend_say("%s: %s", path, failure.text);
    return outcome;
}

/* 0, or 1 where one failed. */
static int extend_all(const char *type, bool stop)
{
    static struct block_list list;
    struct failure failure;
    int status = 0;
    if (block_disks(&list, &failure) < 0) {
        extend_say("%s", failure.text);
        return 1;
    }
    for (size_t index = 0; index < list.count && !(status && stop); index++) {
        char path[BLOCK_PATH];
        block_path(list.names[index], path, sizeof path);
        if (extend_path(path, type) == OUTCOME_FAILED)
            status = 1;
    }
    return status;
}

int main(int count, char *arguments[])
{
    const char *type = NULL;
    bool stop = true;
    struct failure failure;
    const struct flag flags[] = {
        {"type", &type, NULL},
        {"stop-on-error", NULL, &stop},
        {NULL, NULL, NULL},
    };
    int rest = flags_read(count, arguments, flags, &failure);
    if (rest >= 0 && type && !grow_is_possible(type))
        rest = failed(&failure, "-type %s: not one of ext4, xfs, btrfs", type);
    if (rest < 0) {
        extend_say("%s", failure.text);
        return 2;
    }
    if (rest == count)
        return extend_all(type, stop);
    int status = 0;
    for (; rest < count && !(status && stop); rest++)
        if (extend_path(arguments[rest], type) == OUTCOME_FAILED)
            status = 1;
    return status;
}
