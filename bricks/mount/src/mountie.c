/*
 * mountie.c: mounts a file system by device, label or UUID, or the first one there is for data,
 * and links all by UUID. What a format has left half-made does not count.
 */
#include "disk/block.h"
#include "disk/flags.h"
#include "disk/repair.h"
#include "disk/report.h"
#include "disk/signature.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LINKS "/dev/disk/by-uuid"

enum { ROUNDS = 50, PAUSE_NANOSECONDS = 100000000 };

struct wish {
    const char *device;
    const char *label;
    const char *uuid;
};

#define mountie_say(...) report("mountie", __VA_ARGS__)

static int mountie_read(const char *path, struct signature *signature, struct failure *failure)
{
    struct disk disk;
    if (disk_open(&disk, path, O_RDONLY, failure) < 0)
        return -1;
    const struct region region = {disk.descriptor, 0, disk.size};
    int found = signature_read(&region, signature, failure);
    close(disk.descriptor);
    return found;
}

/* The table of the disk that a partition is on; -1 where it cannot be read. */
static int mountie_table(const char *disk_name, struct table *table)
{
    struct disk disk;
    struct failure failure;
    char path[BLOCK_PATH];
    block_path(disk_name, path, sizeof path);
    if (disk_open(&disk, path, O_RDONLY, &failure) < 0)
        return -1;
    int status = table_read(&disk, table, &failure);
    close(disk.descriptor);
    return status;
}

/* A partition, or a whole disk, on which a format has not come to its end. */
static bool mountie_is_unfinished(const char *name)
{
    char disk[BLOCK_NAME];
    struct table table;
    if (block_partition_number(name) == 0)
        snprintf(disk, sizeof disk, "%s", name);
    else if (block_parent(name, disk, sizeof disk) < 0)
        return false;
    return mountie_table(disk, &table) == 0 && table.unfinished;
}

/* Of type 0x83, or GPT's for Linux' data. */
static bool mountie_is_for_data(const char *name)
{
    char disk[BLOCK_NAME];
    struct table table;
    if (block_parent(name, disk, sizeof disk) < 0 || mountie_table(disk, &table) < 0)
        return false;
    for (size_t index = 0; index < table.count; index++)
        if (table.partitions[index].number == block_partition_number(name))
            return table.partitions[index].linux_data && !table.unfinished;
    return false;
}

/* The kernel lets nobody else open alone what is mounted, or part of something. */
static bool mountie_is_used(const char *path)
{
    struct disk disk;
    struct failure failure;
    if (disk_open(&disk, path, O_RDONLY | O_EXCL, &failure) < 0)
        return true;
    close(disk.descriptor);
    return false;
}

static bool mountie_fits(const struct wish *wish, const char *name, const char *path)
{
    struct signature signature;
    struct failure failure;
    if (mountie_read(path, &signature, &failure) <= 0 || !signature.mountable)
        return false;
    if (wish->label && strcmp(signature.label, wish->label) != 0)
        return false;
    if (wish->uuid && strcasecmp(signature.uuid, wish->uuid) != 0)
        return false;
    if (!wish->label && !wish->uuid && (!mountie_is_for_data(name) || mountie_is_used(path)))
        return false;
    return !mountie_is_unfinished(name);
}

/* The first that fits, in the order of disks and partitions; false: none. */
static bool mountie_find(const struct wish *wish, char *path, size_t size)
{
    static struct block_list list;
    struct failure failure;
    if (block_all(&list, &failure) < 0)
        return false;
    for (size_t index = 0; index < list.count; index++) {
        block_path(list.names[index], path, size);
        if (strncmp(list.names[index], "loop", 4) != 0 &&
            mountie_fits(wish, list.names[index], path))
            return true;
    }
    return false;
}

/* Drivers find disks on their own time: five seconds. */
static bool mountie_wait(const struct wish *wish, char *path, size_t size)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NANOSECONDS};
    for (int round = 0; round < ROUNDS; round++) {
        if (mountie_find(wish, path, size))
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static int mountie_make_point(const char *path, struct failure *failure)
{
    char part[BLOCK_PATH];
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return failed(failure, "%s: too long", path);
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return failed_errno(failure, "%s", part);
        *slash = '/';
    }
    if (mkdir(part, 0755) < 0 && errno != EEXIST)
        return failed_errno(failure, "%s", part);
    return 0;
}

static int mountie_mount(const char *path, const char *point, struct failure *failure)
{
    struct signature signature;
    char name[BLOCK_NAME];
    if (block_name(path, name, sizeof name, failure) < 0)
        return -1;
    if (mountie_is_unfinished(name))
        return failed(failure, "%s: its format has not come to its end", path);
    int found = mountie_read(path, &signature, failure);
    if (found < 0)
        return -1;
    if (found == 0)
        return failed(failure, "%s holds no file system that is known", path);
    if (!signature.mountable)
        return failed(failure, "%s holds a %s %s, which cannot be mounted", path, signature.name,
                      signature.what);
    if (mountie_make_point(point, failure) < 0)
        return -1;
    bool fixed = strcmp(signature.name, "iso9660") == 0 || strcmp(signature.name, "squashfs") == 0;
    if (repair_mount(path, point, signature.name, fixed ? MS_RDONLY : 0, failure) < 0)
        return -1;
    mountie_say("%s (%s) is mounted on %s", path, signature.name, point);
    return 0;
}

/* udev's links, for whatever looks for them. */
static void mountie_link_all(void)
{
    static struct block_list list;
    struct failure failure;
    if (mountie_make_point(LINKS, &failure) < 0 || block_all(&list, &failure) < 0)
        return;
    for (size_t index = 0; index < list.count; index++) {
        struct signature signature;
        char path[BLOCK_PATH], link[sizeof LINKS + sizeof signature.uuid + 1];
        block_path(list.names[index], path, sizeof path);
        if (mountie_read(path, &signature, &failure) <= 0 || !*signature.uuid ||
            strchr(signature.uuid, '/') || mountie_is_unfinished(list.names[index]))
            continue;
        snprintf(link, sizeof link, LINKS "/%s", signature.uuid);
        char target[BLOCK_PATH + 8];
        snprintf(target, sizeof target, "../../%s", path + sizeof "/dev");
        if (symlink(target, link) < 0 && errno != EEXIST)
            mountie_say("%s: %s", link, strerror(errno));
    }
}

static int mountie_run(const struct wish *wish, const char *point, struct failure *failure)
{
    char path[BLOCK_PATH];
    if (wish->device) {
        if (block_wait(wish->device, failure) < 0)
            return -1;
        return mountie_mount(wish->device, point, failure);
    }
    if (mountie_wait(wish, path, sizeof path))
        return mountie_mount(path, point, failure);
    if (wish->label)
        return failed(failure, "no file system labelled \"%s\"", wish->label);
    if (wish->uuid)
        return failed(failure, "no file system with UUID %s", wish->uuid);
    return failed(failure, "no Linux partition with a file system that is not mounted");
}

int main(int count, char *arguments[])
{
    struct wish wish = {0};
    struct failure failure;
    const struct flag flags[] = {
        {"device", &wish.device, NULL},
        {"label", &wish.label, NULL},
        {"uuid", &wish.uuid, NULL},
        {NULL, NULL, NULL},
    };
    int rest = flags_read(count, arguments, flags, &failure);
    if (rest < 0) {
        mountie_say("%s", failure.text);
        return 2;
    }
    if (count - rest == 2 && !wish.device)
        wish.device = arguments[rest++];
    if (count - rest != 1) {
        mountie_say("usage: mountie [-device DEVICE | -label LABEL | -uuid UUID] MOUNTPOINT");
        return 2;
    }
    if (mountie_run(&wish, arguments[rest], &failure) < 0) {
        mountie_say("%s", failure.text);
        return 1;
    }
    mountie_link_all();
    return 0;
}
