/*
 * candidate.c: see candidate.h.
 *
 * Sources: Linux, Documentation/ABI (sysfs-block, sysfs-class-nvme, sysfs-block-device:
 * vpd_pg80); SPC-4, 7.8.12 (the page of the serial number); systemd, 60-persistent-storage.rules
 * (names below /dev/disk/by-id).
 */
#include "candidate.h"

#include "base/files.h"
#include "disk/contents.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MIB = 1 << 20,
    SETTLED_ROUNDS = 15, /* without another disk */
    MOST_ROUNDS = 150,
    PAUSE_NANOSECONDS = 200000000,
    VPD_HEADER = 4
};

#define BLOCKS "/sys/class/block"
#define BY_ID "/dev/disk/by-id/"
#define SERIAL "serial:"

/* What a device says of itself is anybody's bytes. */
static void candidate_printable(char *text)
{
    for (char *mark = text; *mark; mark++)
        if (!isprint((unsigned char)*mark))
            *mark = '?';
}

/* The first line that is there; empty without one. */
static void candidate_line(const char *name, const char *const files[], char *text, size_t size)
{
    char path[256];
    *text = 0;
    for (; *files && !*text; files++) {
        snprintf(path, sizeof path, BLOCKS "/%s/%s", name, *files);
        if (file_line(path, text, size) < 0)
            *text = 0;
    }
    candidate_printable(text);
}

/* Of a SCSI or ATA disk. */
static void candidate_vpd_serial(const char *name, char *serial, size_t size)
{
    char path[256];
    unsigned char page[256];
    snprintf(path, sizeof path, BLOCKS "/%s/device/vpd_pg80", name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : file_fill(file, (char *)page, sizeof page);
    if (file >= 0)
        close(file);
    if (length <= VPD_HEADER)
        return;
    const unsigned char *text = page + VPD_HEADER, *end = page + length;
    while (text < end && isspace(*text))
        text++;
    while (end > text && (isspace(end[-1]) || !end[-1]))
        end--;
    snprintf(serial, size, "%.*s", (int)(end - text), (const char *)text);
    candidate_printable(serial);
}

static bool candidate_is_removable(const char *name)
{
    static const char *const files[] = {"removable", NULL};
    char path[256], target[PATH_MAX], flag[8];
    candidate_line(name, files, flag, sizeof flag);
    snprintf(path, sizeof path, BLOCKS "/%s", name);
    ssize_t length = readlink(path, target, sizeof target - 1);
    target[length < 0 ? 0 : length] = 0;
    return strcmp(flag, "1") == 0 || strstr(target, "/usb") != NULL;
}

/* Whether the system that runs was started from this disk: a loop device lies on it. */
static bool candidate_is_medium(const char *name)
{
    static const char *const files[] = {"loop/backing_file", NULL};
    static struct block_list list;
    struct failure failure;
    char file[PATH_MAX], parent[BLOCK_NAME];
    if (block_all(&list, &failure) < 0)
        return false;
    for (size_t index = 0; index < list.count; index++) {
        candidate_line(list.names[index], files, file, sizeof file);
        const char *slash = strrchr(file, '/'), *backing = slash ? slash + 1 : file;
        if (!*backing)
            continue;
        if (strcmp(backing, name) == 0 ||
            (block_parent(backing, parent, sizeof parent) == 0 && strcmp(parent, name) == 0))
            return true;
    }
    return false;
}

static void candidate_identify(struct candidate *candidate)
{
    static const char *const models[] = {"device/model", "device/name", NULL};
    static const char *const serials[] = {"serial", "device/serial", NULL};
    static const char *const ids[] = {"wwid", "device/wwid", NULL};
    candidate_line(candidate->name, models, candidate->model, sizeof candidate->model);
    candidate_line(candidate->name, serials, candidate->serial, sizeof candidate->serial);
    candidate_line(candidate->name, ids, candidate->wwid, sizeof candidate->wwid);
    if (!*candidate->serial)
        candidate_vpd_serial(candidate->name, candidate->serial, sizeof candidate->serial);
    candidate->removable = candidate_is_removable(candidate->name);
}

static int candidate_contents(struct candidate *candidate, const struct disk *disk,
                              struct failure *failure)
{
    int contents = contents_read(disk, candidate->contents, sizeof candidate->contents, failure);
    if (contents < 0)
        return -1;
    candidate->blank = contents != CONTENTS_OTHER;
    if (contents == CONTENTS_BLANK)
        snprintf(candidate->contents, sizeof candidate->contents, "nothing");
    if (contents == CONTENTS_UNFINISHED)
        snprintf(candidate->contents, sizeof candidate->contents, "an unfinished installation");
    return 0;
}

static void candidate_obstruct(struct candidate *candidate, const struct disk *disk,
                               const struct payload *payload, uint64_t least)
{
    uint64_t needed = payload->size > least ? payload->size : least;
    struct disk alone;
    struct failure failure;
    char *text = candidate->obstacle;
    size_t size = sizeof candidate->obstacle;
    if (candidate_is_medium(candidate->name))
        snprintf(text, size, "the installer runs from it");
    else if (disk_open(&alone, candidate->path, O_RDWR | O_EXCL, &failure) < 0)
        snprintf(text, size, "%.300s", failure.text);
    else
        close(alone.descriptor);
    if (!*text && disk->size < needed)
        snprintf(text, size, "it is too small: %llu MiB are needed",
                 (unsigned long long)((needed + MIB - 1) / MIB));
    if (!*text && disk->sector != 512)
        snprintf(text, size, "its sectors have %u bytes, and the system is laid out for 512",
                 disk->sector);
}

int candidate_look(struct candidate *candidate, const char *path, const struct payload *payload,
                   uint64_t least, struct failure *failure)
{
    struct disk disk;
    struct failure none;
    *candidate = (struct candidate){0};
    snprintf(candidate->path, sizeof candidate->path, "%s", path);
    /* A file has no name that the kernel knows it by. */
    if (block_name(path, candidate->name, sizeof candidate->name, &none) == 0) {
        if (block_partition_number(candidate->name) > 0)
            return failed(failure, "%s is a partition, not a disk", path);
        candidate_identify(candidate);
    }
    if (disk_open(&disk, path, O_RDONLY, failure) < 0)
        return -1;
    candidate->size = disk.size;
    int status = candidate_contents(candidate, &disk, failure);
    candidate_obstruct(candidate, &disk, payload, least);
    close(disk.descriptor);
    return status;
}

/* Drivers find disks on their own time. */
static int candidate_settle(struct block_list *list, struct failure *failure)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NANOSECONDS};
    size_t before = 0;
    for (int settled = 0, round = 0; round < MOST_ROUNDS && settled < SETTLED_ROUNDS; round++) {
        if (block_disks(list, failure) < 0)
            return -1;
        settled = list->count > 0 && list->count == before ? settled + 1 : 0;
        before = list->count;
        nanosleep(&pause, NULL);
    }
    return 0;
}

int candidate_list(struct candidates *list, const struct payload *payload, uint64_t least,
                   struct failure *failure)
{
    static struct block_list names;
    char path[BLOCK_PATH];
    list->count = 0;
    if (candidate_settle(&names, failure) < 0)
        return -1;
    for (size_t index = 0; index < names.count && list->count < CANDIDATE_MOST; index++) {
        struct candidate *candidate = &list->disks[list->count];
        struct failure unreadable;
        block_path(names.names[index], path, sizeof path);
        if (candidate_look(candidate, path, payload, least, &unreadable) < 0)
            snprintf(candidate->obstacle, sizeof candidate->obstacle, "%.300s", unreadable.text);
        list->count++;
    }
    return 0;
}

static bool candidate_ends_with(const char *text, const char *end, const char *before)
{
    size_t length = strlen(text), size = strlen(end);
    return size > 0 && length > size && strcmp(text + length - size, end) == 0 &&
           strchr(before, text[length - size - 1]);
}

/* "ata-MODEL_SERIAL", "virtio-SERIAL", "wwn-0x5000c500a1b2c3d4", "nvme-eui.0025385b71b00c3f" */
static bool candidate_has_id(const struct candidate *candidate, const char *id)
{
    const char *number = strchr(candidate->wwid, '.');
    if (strncmp(id, "wwn-0x", 6) == 0)
        return number && strcmp(number + 1, id + 6) == 0;
    if (strncmp(id, "nvme-", 5) == 0 && strcmp(id + 5, candidate->wwid) == 0)
        return true;
    return candidate_ends_with(id, candidate->serial, "-_");
}

bool candidate_is(const struct candidate *candidate, const char *meant)
{
    struct failure failure;
    char name[BLOCK_NAME];
    if (strncmp(meant, SERIAL, strlen(SERIAL)) == 0)
        return *candidate->serial && strcmp(meant + strlen(SERIAL), candidate->serial) == 0;
    if (strncmp(meant, BY_ID, strlen(BY_ID)) == 0 && access(meant, F_OK) < 0)
        return candidate_has_id(candidate, meant + strlen(BY_ID));
    return block_name(meant, name, sizeof name, &failure) == 0 &&
           strcmp(name, candidate->name) == 0;
}

/* Why the rules do not take a disk that nobody has named; NULL when they do. */
static const char *candidate_objection(const struct candidate *candidate, const struct rules *rules)
{
    static char text[2 * CANDIDATE_CONTENTS];
    bool erase = *rules->erase && candidate_is(candidate, rules->erase);
    if (*candidate->obstacle)
        return candidate->obstacle;
    if (!candidate->blank && !erase) {
        snprintf(text, sizeof text, "it holds %s", candidate->contents);
        return text;
    }
    return NULL;
}

static const struct candidate *candidate_by_size(const struct candidates *list,
                                                 const struct rules *rules, bool largest,
                                                 struct failure *failure)
{
    const struct candidate *chosen = NULL;
    for (size_t index = 0; index < list->count; index++) {
        const struct candidate *one = &list->disks[index];
        if (candidate_objection(one, rules) || (one->removable && !rules->removable))
            continue;
        if (!chosen || (largest ? one->size > chosen->size : one->size < chosen->size))
            chosen = one;
    }
    if (!chosen)
        failed(failure, "none of %zu disks can be taken by the rule %s", list->count, rules->disk);
    return chosen;
}

const struct candidate *candidate_choose(const struct candidates *list, const struct rules *rules,
                                         struct failure *failure)
{
    bool largest = strcmp(rules->disk, "largest") == 0;
    const struct candidate *found = NULL;
    if (largest || strcmp(rules->disk, "smallest") == 0)
        return candidate_by_size(list, rules, largest, failure);
    for (size_t index = 0; index < list->count; index++) {
        if (!candidate_is(&list->disks[index], rules->disk))
            continue;
        if (found) {
            failed(failure, "%.200s is both %s and %s", rules->disk, found->name,
                   list->disks[index].name);
            return NULL;
        }
        found = &list->disks[index];
    }
    if (!found) {
        failed(failure, "there is no disk %.200s", rules->disk);
        return NULL;
    }
    const char *objection = candidate_objection(found, rules);
    if (objection)
        failed(failure, "%.64s cannot be taken: %.400s", found->path, objection);
    return objection ? NULL : found;
}

void candidate_describe(const struct candidate *candidate, char *text, size_t size)
{
    snprintf(text, size, "%s%s%s%s%llu MiB%s", *candidate->model ? candidate->model : "disk",
             *candidate->serial ? ", serial " : "", candidate->serial, ", ",
             (unsigned long long)candidate->size / MIB, candidate->removable ? ", removable" : "");
}
