/*
 * extend.c: gives the only partition of a disk, and the file system on it, the room behind it.
 *
 * The kernel grows ext4, xfs and btrfs while they are mounted, and its journals make that safe
 * against a power cut. So a file system is mounted here for the moment, beside wherever else it is
 * mounted. The partition is written first: where that is all that was done, the next start sees a
 * file system that is smaller than its partition and goes on.
 */
#include "disk/block.h"
#include "disk/bytes.h"
#include "disk/flags.h"
#include "disk/signature.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

/* fs/ext4/ext4.h and fs/xfs/libxfs/xfs_fs.h: user space has no headers for them. */
#define EXTEND_EXT4_RESIZE _IOW('f', 16, uint64_t)
struct extend_xfs_growth {
    uint64_t blocks;
    uint32_t most_inodes; /* percent */
};
#define EXTEND_XFS_GROW _IOW('X', 110, struct extend_xfs_growth)

/* What one disk came to. */
enum outcome { OUTCOME_DONE, OUTCOME_SKIPPED, OUTCOME_FAILED };

static void extend_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void extend_say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("extend: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

static int extend_block_size(const char *node, uint64_t offset, bool big, uint32_t *number,
                             struct failure *failure)
{
    struct disk disk;
    uint8_t bytes[4];
    if (disk_open(&disk, node, O_RDONLY, failure) < 0)
        return -1;
    int status = read_at(disk.descriptor, bytes, sizeof bytes, offset);
    if (status < 0)
        failed_errno(failure, "%s", node);
    else
        *number = big ? big32(bytes) : little32(bytes);
    close(disk.descriptor);
    return status;
}

/* An ext4 superblock says log2 of the block size less 10. */
static int extend_ext4(int point, const char *node, uint64_t size, struct failure *failure)
{
    uint32_t shift = 0;
    if (extend_block_size(node, 0x418, false, &shift, failure) < 0)
        return -1;
    uint64_t blocks = size >> (10 + (shift & 7));
    if (ioctl(point, (int)EXTEND_EXT4_RESIZE, &blocks) < 0)
        return failed_errno(failure, "%s: the kernel does not grow the file system", node);
    return 0;
}

static int extend_xfs(int point, const char *node, uint64_t size, struct failure *failure)
{
    uint32_t block = 0;
    if (extend_block_size(node, 4, true, &block, failure) < 0)
        return -1;
    uint32_t ratio = 0;
    if (block == 0 || extend_block_size(node, 124, true, &ratio, failure) < 0)
        return failed(failure, "%s: a superblock without a block size", node);
    /* sb_imax_pct is the byte at 127. */
    struct extend_xfs_growth growth = {size / block, ratio & 0xff};
    if (ioctl(point, (int)EXTEND_XFS_GROW, &growth) < 0)
        return failed_errno(failure, "%s: the kernel does not grow the file system", node);
    return 0;
}

static int extend_btrfs(int point, const char *node, uint64_t size, struct failure *failure)
{
    struct btrfs_ioctl_vol_args arguments = {.name = "max"};
    (void)size;
    if (ioctl(point, (int)BTRFS_IOC_RESIZE, &arguments) < 0)
        return failed_errno(failure, "%s: the kernel does not grow the file system", node);
    return 0;
}

struct grower {
    const char *type;
    int (*grow)(int point, const char *node, uint64_t size, struct failure *failure);
};

static const struct grower extend_growers[] = {
    {"ext4", extend_ext4},
    {"xfs", extend_xfs},
    {"btrfs", extend_btrfs},
};

static const struct grower *extend_grower(const char *type)
{
    for (size_t index = 0; index < sizeof extend_growers / sizeof *extend_growers; index++)
        if (strcmp(extend_growers[index].type, type) == 0)
            return &extend_growers[index];
    return NULL;
}

/* Mounted at a place of our own for as long as it takes. */
static int extend_mounted(const struct grower *grower, const char *node, uint64_t size,
                          struct failure *failure)
{
    char point[] = "/run/extend.XXXXXX";
    if (!mkdtemp(point))
        return failed_errno(failure, "%s", point);
    int status = -1, descriptor = -1;
    if (mount(node, point, grower->type, MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0) {
        failed_errno(failure, "mounting %s (%s)", node, grower->type);
        rmdir(point);
        return -1;
    }
    descriptor = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        failed_errno(failure, "%s", point);
    else
        status = grower->grow(descriptor, node, size, failure);
    if (descriptor >= 0) {
        if (syncfs(descriptor) < 0 && status == 0)
            status = failed_errno(failure, "%s", node);
        close(descriptor);
    }
    umount2(point, MNT_DETACH);
    rmdir(point);
    return status;
}

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
    if (!extend_grower(signature->name))
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
    if (extend_filesystem(disk, partition, type, &signature, failure) < 0)
        return OUTCOME_FAILED;
    uint64_t size = table_room(disk, &table);
    if (size < partition->size + MIB)
        size = partition->size;
    if (size == partition->size && signature.size + MIB > size && !table.damaged) {
        extend_say("%s: there is no room behind its file system", path);
        return OUTCOME_SKIPPED;
    }
    block_partition_path(path, partition->number, node, sizeof node);
    if ((size > partition->size || table.damaged) &&
        extend_partition(disk, &table, size, failure) < 0)
        return OUTCOME_FAILED;
    if (block_wait(node, failure) < 0 ||
        extend_mounted(extend_grower(signature.name), node, size, failure) < 0)
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
    if (rest >= 0 && type && !extend_grower(type))
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
