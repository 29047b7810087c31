/* repair.c: see repair.h. */
#include "disk/repair.h"

#include "disk/block.h"
#include "disk/bytes.h"
#include "disk/report.h"
#include "disk/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* e2fsck(8): 1 if errors were corrected, 2 if the machine should be restarted, too. */
enum { E2FSCK_SECONDS = 3600, E2FSCK_MENDED = 2 };

/* fs/ext4/super.c; both halves of a superblock say the same of these. */
enum {
    SUPER = 1024,
    FIRST_BLOCK = 0x14,
    BLOCK_SHIFT = 0x18,
    BLOCKS_PER_GROUP = 0x20,
    MAGIC = 0x38,
    STATE = 0x3a,
    STATE_ERRORS = 2,
    INCOMPATIBLE = 0x60,
    INCOMPATIBLE_RECOVER = 4
};

static int repair_check(const char *const arguments[], struct failure *failure)
{
    return tool_run_to(arguments, -1, E2FSCK_SECONDS, false, E2FSCK_MENDED, failure);
}

/* Puts the copy of the superblock in `group` in the place of the first one. */
static void repair_by_copy(const char *node, const uint8_t *super, unsigned group)
{
    struct failure failure;
    char place[24], size[24];
    uint64_t block = UINT64_C(1024) << (little32(super + BLOCK_SHIFT) & 7);
    uint64_t copy =
        little32(super + FIRST_BLOCK) + (uint64_t)little32(super + BLOCKS_PER_GROUP) * group;
    snprintf(place, sizeof place, "%llu", (unsigned long long)copy);
    snprintf(size, sizeof size, "%llu", (unsigned long long)block);
    const char *const arguments[] = {"e2fsck", "-p", "-b", place, "-B", size, node, NULL};
    /* By a copy, e2fsck finds more to do than -p allows; whether it was enough, a run shows. */
    (void)repair_check(arguments, &failure);
}

static int repair_read_super(const char *node, uint8_t *super, struct failure *failure)
{
    struct disk disk;
    if (disk_open(&disk, node, O_RDONLY, failure) < 0)
        return -1;
    int status = read_at(disk.descriptor, super, SUPER, SUPER);
    if (status < 0)
        failed_errno(failure, "%s", node);
    close(disk.descriptor);
    return status;
}

static int repair_ext4(const char *node, bool whole, struct failure *failure)
{
    /* Where copies of the superblock are (sparse_super); one may be torn, too. */
    static const unsigned groups[] = {1, 3, 5, 7};
    const char *const arguments[] = {"e2fsck", "-p", node, NULL};
    /* Descriptors that come from a copy are those of its time: everything is checked. */
    const char *const all[] = {"e2fsck", "-f", "-p", node, NULL};
    uint8_t super[SUPER];
    if (repair_read_super(node, super, failure) < 0)
        return -1;
    int status = repair_check(whole ? all : arguments, failure);
    for (size_t index = 0; status < 0 && index < sizeof groups / sizeof *groups; index++) {
        repair_by_copy(node, super, groups[index]);
        status = repair_check(all, failure);
    }
    if (status == 0)
        report("e2fsck", "%s: what the kernel refuses is repaired", node);
    return status;
}

static bool repair_has_errors(const uint8_t *super)
{
    return little16(super + MAGIC) == 0xef53 && (little16(super + STATE) & STATE_ERRORS);
}

int repair_fully(const char *node, struct failure *failure)
{
    const char *const arguments[] = {"e2fsck", "-f", "-y", node, NULL};
    struct disk disk;
    if (disk_open(&disk, node, O_RDONLY | O_EXCL, failure) < 0)
        return -1;
    close(disk.descriptor);
    if (repair_ext4(node, true, failure) == 0)
        return 0;
    if (repair_check(arguments, failure) < 0)
        return -1;
    report("e2fsck", "%s: its errors are repaired; lost+found has what could not be placed", node);
    return 0;
}

int repair_errors(const char *node, struct failure *failure)
{
    uint8_t super[SUPER];
    struct failure busy;
    if (repair_read_super(node, super, failure) < 0)
        return -1;
    if (!repair_has_errors(super))
        return 0;
    struct disk disk;
    /* What is mounted cannot be repaired: the kernel will say that it does not grow. */
    if (disk_open(&disk, node, O_RDONLY | O_EXCL, &busy) < 0)
        return 0;
    close(disk.descriptor);
    return repair_fully(node, failure);
}

/* fs/btrfs/ctree.h: a superblock begins with its checksum, then says whose it is and where. */
enum {
    BTRFS_SUPER = 4096,
    BTRFS_SUMMED = 32, /* bytes before what the checksum is of */
    BTRFS_FSID = 0x20,
    BTRFS_PLACE = 0x30,
    BTRFS_MAGIC = 0x40,
    BTRFS_SUM_KIND = 0xc4 /* 0: CRC-32C */
};

static uint32_t repair_btrfs_sum(const uint8_t *super)
{
    uint32_t crc = UINT32_MAX;
    for (int index = BTRFS_SUMMED; index < BTRFS_SUPER; index++) {
        crc ^= super[index];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    return ~crc;
}

static bool repair_btrfs_is_whole(const uint8_t *super, uint64_t place)
{
    return memcmp(super + BTRFS_MAGIC, "_BHRfS_M", 8) == 0 &&
           little16(super + BTRFS_SUM_KIND) == 0 && little64(super + BTRFS_PLACE) == place &&
           little32(super) == repair_btrfs_sum(super);
}

/* The copy at 64 MiB, which is at most one transaction older, in the place of a torn superblock. */
static int repair_btrfs(const struct disk *disk, struct failure *failure)
{
    const uint64_t place = 64 << 10, other = 64 << 20;
    uint8_t first[BTRFS_SUPER], copy[BTRFS_SUPER];
    if (read_at(disk->descriptor, first, sizeof first, place) < 0 ||
        read_at(disk->descriptor, copy, sizeof copy, other) < 0)
        return failed_errno(failure, "cannot be read");
    if (repair_btrfs_is_whole(first, place) || !repair_btrfs_is_whole(copy, other) ||
        memcmp(first + BTRFS_FSID, copy + BTRFS_FSID, 16) != 0)
        return -1;
    put_little64(copy + BTRFS_PLACE, place);
    put_little32(copy, repair_btrfs_sum(copy));
    if (write_at(disk->descriptor, copy, sizeof copy, place) < 0 || fsync(disk->descriptor) < 0)
        return failed_errno(failure, "cannot be written");
    return 0;
}

/* `failure` says why the kernel refuses it, and is kept unless there is more to say. */
static int repair_btrfs_node(const char *node, struct failure *failure)
{
    struct disk disk;
    if (disk_open(&disk, node, O_RDWR | O_EXCL, failure) < 0)
        return -1;
    int status = repair_btrfs(&disk, failure);
    close(disk.descriptor);
    if (status == 0)
        report("btrfs", "%s: a power cut had torn its superblock; it is repaired", node);
    return status;
}

/*
 * Replays the journal of ext4 that was not unmounted. The kernel counts groups before it does that:
 * if the journal has a superblock with more of them, Linux 6.12 stops at a BUG when the file system
 * grows further (ext4_flex_group_add). If e2fsck fails, the kernel has its turn, and says why.
 */
static void repair_replay(const char *node)
{
    const char *const arguments[] = {"e2fsck", "-p", node, NULL};
    struct failure failure;
    uint8_t super[SUPER];
    if (repair_read_super(node, super, &failure) == 0 && little16(super + MAGIC) == 0xef53 &&
        (little32(super + INCOMPATIBLE) & INCOMPATIBLE_RECOVER))
        (void)repair_check(arguments, &failure);
}

int repair_mount(const char *node, const char *point, const char *type, unsigned long flags,
                 struct failure *failure)
{
    if (strcmp(type, "ext4") == 0 && !(flags & MS_RDONLY))
        repair_replay(node);
    if (mount(node, point, type, flags, NULL) == 0)
        return 0;
    int error = errno;
    failed_errno(failure, "mounting %s (%s)", node, type);
    /* EUCLEAN, EBADMSG: what is there is wrong, or so is its checksum; btrfs: EINVAL. */
    int status = -1;
    if (strcmp(type, "ext4") == 0 && (error == EUCLEAN || error == EBADMSG))
        status = repair_ext4(node, false, failure);
    else if (strcmp(type, "btrfs") == 0 && error == EINVAL)
        status = repair_btrfs_node(node, failure);
    if (status < 0)
        return -1;
    if (mount(node, point, type, flags, NULL) < 0)
        return failed_errno(failure, "mounting %s (%s) after its repair", node, type);
    return 0;
}
