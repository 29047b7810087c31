/* block.c: the machine's disks and their partitions, as the kernel shows them below /sys. */
#include "disk/block.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/blkpg.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define BLOCKS "/sys/class/block"

enum { WAIT_ROUNDS = 100, BUSY_ROUNDS = 20, WAIT_NANOSECONDS = 50000000 };

/* A number of /sys/class/block/NAME/FILE; `missing` without that file. */
static unsigned long long block_number(const char *name, const char *file,
                                       unsigned long long missing)
{
    char path[256];
    snprintf(path, sizeof path, BLOCKS "/%s/%s", name, file);
    FILE *stream = fopen(path, "re");
    if (!stream)
        return missing;
    unsigned long long number = missing;
    if (fscanf(stream, "%llu", &number) != 1)
        number = missing;
    fclose(stream);
    return number;
}

unsigned block_partition_number(const char *name)
{
    return (unsigned)block_number(name, "partition", 0);
}

static bool block_is_disk(const char *name)
{
    static const char *const others[] = {"loop", "ram", "sr", "nbd", "fd", "zram", "dm-", "md"};
    for (size_t index = 0; index < sizeof others / sizeof *others; index++) {
        size_t length = strlen(others[index]);
        if (strncmp(name, others[index], length) == 0 && name[length] && !isalpha(name[length]))
            return false;
    }
    /* The boot areas of an eMMC are no disks. */
    if (strncmp(name, "mmcblk", 6) == 0 && (strstr(name, "boot") || strstr(name, "rpmb")))
        return false;
    return block_partition_number(name) == 0 && block_number(name, "ro", 0) == 0;
}

static bool block_is_any(const char *name)
{
    return *name != 0;
}

static int block_compare(const void *left, const void *right)
{
    /* sdaa is behind sdz, nvme10n1 behind nvme9n1. */
    return strverscmp(left, right);
}

static int block_list(struct block_list *list, bool (*wanted)(const char *name),
                      struct failure *failure)
{
    list->count = 0;
    DIR *folder = opendir(BLOCKS);
    if (!folder)
        return failed_errno(failure, BLOCKS);
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder)) {
        const char *name = entry->d_name;
        if (*name == '.' || strlen(name) >= BLOCK_NAME || list->count == BLOCK_MOST)
            continue;
        if (wanted(name) && block_number(name, "size", 0) > 0)
            strcpy(list->names[list->count++], name);
    }
    closedir(folder);
    qsort(list->names, list->count, BLOCK_NAME, block_compare);
    return 0;
}

int block_disks(struct block_list *list, struct failure *failure)
{
    return block_list(list, block_is_disk, failure);
}

int block_all(struct block_list *list, struct failure *failure)
{
    return block_list(list, block_is_any, failure);
}

int block_parent(const char *partition, char *disk, size_t size)
{
    char path[256], target[PATH_MAX];
    snprintf(path, sizeof path, BLOCKS "/%s", partition);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return -1;
    target[length] = 0;
    char *last = strrchr(target, '/');
    if (!last)
        return -1;
    *last = 0;
    const char *slash = strrchr(target, '/');
    if (!slash || strlen(slash + 1) >= size)
        return -1;
    strcpy(disk, slash + 1);
    return 0;
}

int block_partitions(const char *disk, struct block_list *list, struct failure *failure)
{
    char parent[BLOCK_NAME];
    if (block_list(list, block_is_any, failure) < 0)
        return -1;
    size_t count = 0;
    for (size_t index = 0; index < list->count; index++) {
        const char *name = list->names[index];
        if (block_partition_number(name) > 0 && block_parent(name, parent, sizeof parent) == 0 &&
            strcmp(parent, disk) == 0)
            memmove(list->names[count++], name, BLOCK_NAME);
    }
    list->count = count;
    return 0;
}

void block_partition_path(const char *disk, unsigned number, char *path, size_t size)
{
    bool digit = isdigit((unsigned char)disk[strlen(disk) - 1]);
    snprintf(path, size, "%s%s%u", disk, digit ? "p" : "", number);
}

void block_path(const char *name, char *path, size_t size)
{
    snprintf(path, size, "/dev/%s", name);
    /* cciss!c0d0 is /dev/cciss/c0d0. */
    for (char *mark = strchr(path, '!'); mark; mark = strchr(mark, '!'))
        *mark = '/';
}

int block_name(const char *path, char *name, size_t size, struct failure *failure)
{
    struct stat state;
    char link[64], target[PATH_MAX];
    if (stat(path, &state) < 0)
        return failed_errno(failure, "%s", path);
    if (!S_ISBLK(state.st_mode))
        return failed(failure, "%s is not a block device", path);
    snprintf(link, sizeof link, "/sys/dev/block/%u:%u", major(state.st_rdev), minor(state.st_rdev));
    ssize_t length = readlink(link, target, sizeof target - 1);
    if (length < 0)
        return failed_errno(failure, "%s", link);
    target[length] = 0;
    const char *slash = strrchr(target, '/');
    snprintf(name, size, "%s", slash ? slash + 1 : target);
    return 0;
}

int disk_open(struct disk *disk, const char *path, int flags, struct failure *failure)
{
    struct stat state;
    int sector = 512;
    *disk = (struct disk){.descriptor = open(path, flags | O_CLOEXEC), .sector = 512};
    if (disk->descriptor < 0)
        return errno == EBUSY ? failed(failure, "%s is in use", path)
                              : failed_errno(failure, "%s", path);
    if (fstat(disk->descriptor, &state) == 0 && S_ISREG(state.st_mode)) {
        disk->size = (uint64_t)state.st_size;
        return 0;
    }
    if (ioctl(disk->descriptor, (int)BLKGETSIZE64, &disk->size) < 0 ||
        ioctl(disk->descriptor, BLKSSZGET, &sector) < 0) {
        failed_errno(failure, "%s", path);
        close(disk->descriptor);
        return -1;
    }
    disk->sector = (uint32_t)sector;
    return 0;
}

static int disk_tell(const struct disk *disk, int operation, const struct partition *partition)
{
    struct blkpg_partition wanted = {
        .start = (long long)partition->start,
        .length = (long long)partition->size,
        .pno = (int)partition->number,
    };
    struct blkpg_ioctl_arg argument = {.op = operation, .datalen = sizeof wanted, .data = &wanted};
    return ioctl(disk->descriptor, BLKPG, &argument);
}

int disk_forget_partitions(const struct disk *disk, struct failure *failure)
{
    const struct timespec pause = {.tv_nsec = WAIT_NANOSECONDS};
    for (unsigned number = 1; number <= 256; number++) {
        struct partition partition = {.number = number};
        /* Whoever looks through all devices has it open for a moment. */
        for (int round = 0; disk_tell(disk, BLKPG_DEL_PARTITION, &partition) < 0; round++) {
            if (errno != EBUSY)
                break;
            if (round == BUSY_ROUNDS)
                return failed(failure, "partition %u is in use", number);
            nanosleep(&pause, NULL);
        }
    }
    return 0;
}

int disk_add_partition(const struct disk *disk, const struct partition *partition,
                       struct failure *failure)
{
    if (disk_tell(disk, BLKPG_ADD_PARTITION, partition) < 0)
        return failed_errno(failure, "the kernel does not take partition %u", partition->number);
    return 0;
}

int disk_resize_partition(const struct disk *disk, const struct partition *partition,
                          struct failure *failure)
{
    if (disk_tell(disk, BLKPG_RESIZE_PARTITION, partition) == 0)
        return 0;
    if (errno == ENXIO)
        return disk_add_partition(disk, partition, failure);
    return failed_errno(failure, "the kernel does not resize partition %u", partition->number);
}

int block_wait(const char *path, struct failure *failure)
{
    const struct timespec pause = {.tv_nsec = WAIT_NANOSECONDS};
    for (int round = 0; round < WAIT_ROUNDS; round++) {
        if (access(path, F_OK) == 0)
            return 0;
        nanosleep(&pause, NULL);
    }
    return failed(failure, "%s does not appear within five seconds", path);
}
