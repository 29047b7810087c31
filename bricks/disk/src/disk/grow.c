/* grow.c: see grow.h. */
#include "disk/grow.h"

#include "disk/block.h"
#include "disk/bytes.h"
#include "disk/repair.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

/* A grower's answer, if e2fsck can help. */
enum { GROW_INVALID = -2 };

/* fs/ext4/ext4.h and fs/xfs/libxfs/xfs_fs.h: user space has no headers for them. */
#define GROW_EXT4_RESIZE _IOW('f', 16, uint64_t)
struct grow_xfs_growth {
    uint64_t blocks;
    uint32_t most_inodes; /* percent */
};
#define GROW_XFS_GROW _IOW('X', 110, struct grow_xfs_growth)

static int grow_block_size(const char *node, uint64_t offset, bool big, uint32_t *number,
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
static int grow_ext4(int point, const char *node, uint64_t size, struct failure *failure)
{
    uint32_t shift = 0;
    if (grow_block_size(node, 0x418, false, &shift, failure) < 0)
        return -1;
    uint64_t blocks = size >> (10 + (shift & 7));
    if (ioctl(point, (int)GROW_EXT4_RESIZE, &blocks) < 0) {
        /*
         * EINVAL: its resize inode is incomplete, for the disk could not be read while it grew;
         * EPERM: its journal said that the disk had failed.
         */
        bool invalid = errno == EINVAL || errno == EPERM;
        failed_errno(failure, "%s: the kernel does not grow the file system", node);
        return invalid ? GROW_INVALID : -1;
    }
    return 0;
}

static int grow_xfs(int point, const char *node, uint64_t size, struct failure *failure)
{
    uint32_t block = 0;
    if (grow_block_size(node, 4, true, &block, failure) < 0)
        return -1;
    uint32_t ratio = 0;
    if (block == 0 || grow_block_size(node, 124, true, &ratio, failure) < 0)
        return failed(failure, "%s: a superblock without a block size", node);
    /* sb_imax_pct is the byte at 127. */
    struct grow_xfs_growth growth = {size / block, ratio & 0xff};
    if (ioctl(point, (int)GROW_XFS_GROW, &growth) < 0)
        return failed_errno(failure, "%s: the kernel does not grow the file system", node);
    return 0;
}

static int grow_btrfs(int point, const char *node, uint64_t size, struct failure *failure)
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

static const struct grower grow_known[] = {
    {"ext4", grow_ext4},
    {"xfs", grow_xfs},
    {"btrfs", grow_btrfs},
};

static const struct grower *grow_find(const char *type)
{
    for (size_t index = 0; index < sizeof grow_known / sizeof *grow_known; index++)
        if (strcmp(grow_known[index].type, type) == 0)
            return &grow_known[index];
    return NULL;
}

/* Mounted at a place of our own for as long as it takes. */
static int grow_mounted(const struct grower *grower, const char *node, uint64_t size,
                        struct failure *failure)
{
    char point[] = "/run/grow.XXXXXX";
    if (!mkdtemp(point))
        return failed_errno(failure, "%s", point);
    int status = -1, descriptor = -1;
    if (repair_mount(node, point, grower->type, MS_NOSUID | MS_NODEV | MS_NOEXEC, failure) < 0) {
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

bool grow_is_possible(const char *type)
{
    return grow_find(type) != NULL;
}

int grow_filesystem(const char *node, const char *type, uint64_t size, struct failure *failure)
{
    const struct grower *grower = grow_find(type);
    int status = grow_mounted(grower, node, size, failure);
    if (status == GROW_INVALID && repair_fully(node, failure) == 0)
        status = grow_mounted(grower, node, size, failure);
    return status < 0 ? -1 : 0;
}
