/*
 * format.c: makes one partition with a file system on a disk that is blank, or on one where this
 * program was interrupted.
 *
 * The first sector says all the time what the disk is: before, nothing; then the mark of an
 * unfinished format (table.h); when the file system is complete and on the disk, the table.
 */
#include "disk/block.h"
#include "disk/contents.h"
#include "disk/flags.h"
#include "disk/report.h"
#include "disk/signature.h"
#include "disk/tool.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MKFS_SECONDS = 3600, DISK_ROUNDS = 50, DISK_NANOSECONDS = 100000000 };

enum status { STATUS_DONE = 0, STATUS_REFUSED = 1, STATUS_USAGE = 2 };

struct maker {
    const char *type;
    const char *program;
    const char *force; /* its option to ask nothing */
    size_t label_most; /* bytes */
    unsigned least;    /* MiB: what mkfs refuses to go below, known before anything is changed */
};

static const struct maker format_makers[] = {
    {"ext4", "mkfs.ext4", "-F", 16, 3},
    {"xfs", "mkfs.xfs", "-f", 12, 300},
    {"btrfs", "mkfs.btrfs", "-f", 255, 110},
};

struct request {
    const struct maker *maker;
    enum table_kind kind;
    const char *label;
    bool force;
    bool verbose;
};

#define format_say(...) report("format", __VA_ARGS__)

static int format_make_filesystem(const struct request *request, const char *path,
                                  struct failure *failure)
{
    const struct maker *maker = request->maker;
    const char *arguments[7] = {maker->program, maker->force, "-q"};
    size_t count = 3;
    if (*request->label) {
        arguments[count++] = "-L";
        arguments[count++] = request->label;
    }
    arguments[count] = path;
    return tool_run(arguments, -1, MKFS_SECONDS, request->verbose, failure);
}

/* mkfs syncs what it writes, but nobody promises it. */
static int format_sync(const char *path, struct failure *failure)
{
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0)
        return failed_errno(failure, "%s", path);
    int status = fsync(descriptor) < 0 ? failed_errno(failure, "%s", path) : 0;
    close(descriptor);
    return status;
}

/* The disk holds nothing, or may be overwritten. */
static int format_disk(const struct request *request, const struct disk *disk, const char *path,
                       struct failure *failure)
{
    struct partition partition;
    char name[BLOCK_PATH];
    block_partition_path(path, 1, name, sizeof name);
    if (table_plan(disk, request->kind, &partition, failure) < 0)
        return -1;
    if (partition.size >> 20 < request->maker->least)
        return failed(failure, "smaller than the %u MiB that %s needs; nothing is changed",
                      request->maker->least, request->maker->type);
    if (disk_forget_partitions(disk, failure) < 0 || table_begin(disk, &partition, failure) < 0 ||
        disk_add_partition(disk, &partition, failure) < 0 || block_wait(name, failure) < 0 ||
        format_make_filesystem(request, name, failure) < 0 || format_sync(name, failure) < 0)
        return -1;
    return table_finish(disk, request->kind, &partition, failure);
}

/* Opened alone once: a disk that is mounted or part of something cannot be. */
static int format_check_unused(const char *path, struct failure *failure)
{
    struct disk disk;
    if (disk_open(&disk, path, O_RDWR | O_EXCL, failure) < 0)
        return -1;
    close(disk.descriptor);
    return 0;
}

static enum status format_path(const struct request *request, const char *path)
{
    struct failure failure;
    struct disk disk;
    if (format_check_unused(path, &failure) < 0 || disk_open(&disk, path, O_RDWR, &failure) < 0) {
        format_say("%s; nothing is changed", failure.text);
        return STATUS_REFUSED;
    }
    int status = format_disk(request, &disk, path, &failure);
    close(disk.descriptor);
    if (status < 0) {
        format_say("%s: %s", path, failure.text);
        return STATUS_REFUSED;
    }
    format_say("%s: %s file system%s%s made in %s partition", path, request->maker->type,
               *request->label ? " labelled " : "", request->label,
               request->kind == TABLE_GPT ? "a GPT" : "an MBR");
    return STATUS_DONE;
}

/* Whether the disk's only partition holds what is asked for. */
static bool format_is_done(const struct request *request, const struct disk *disk)
{
    struct table table;
    struct signature signature;
    struct failure failure;
    if (table_read(disk, &table, &failure) < 0 || table.count != 1 || table.unfinished)
        return false;
    const struct partition *partition = &table.partitions[0];
    if (partition->start >= disk->size || partition->size > disk->size - partition->start)
        return false;
    const struct region region = {disk->descriptor, partition->start, partition->size};
    return signature_read(&region, &signature, &failure) > 0 &&
           strcmp(signature.name, request->maker->type) == 0 &&
           strcmp(signature.label, request->label) == 0;
}

enum verdict { VERDICT_TAKE, VERDICT_DONE, VERDICT_REFUSE };

/* Says why where it refuses. */
static enum verdict format_judge(const struct request *request, const char *path)
{
    struct failure failure;
    struct disk disk;
    char text[700];
    if (disk_open(&disk, path, O_RDONLY, &failure) < 0) {
        format_say("%s; nothing is changed", failure.text);
        return VERDICT_REFUSE;
    }
    int contents = contents_read(&disk, text, sizeof text, &failure);
    bool done = contents == CONTENTS_OTHER && format_is_done(request, &disk);
    close(disk.descriptor);
    if (done)
        return VERDICT_DONE;
    if (contents < 0)
        format_say("%s: %s; nothing is changed", path, failure.text);
    else if (contents == CONTENTS_OTHER)
        format_say("%s holds %s; nothing is changed", path, text);
    else
        return VERDICT_TAKE;
    return VERDICT_REFUSE;
}

static enum status format_named(const struct request *request, const char *path)
{
    struct failure failure;
    char name[BLOCK_NAME];
    if (block_wait(path, &failure) < 0 || block_name(path, name, sizeof name, &failure) < 0) {
        format_say("%s", failure.text);
        return STATUS_REFUSED;
    }
    if (block_partition_number(name) > 0) {
        format_say("%s is a partition, not a disk; nothing is changed", path);
        return STATUS_REFUSED;
    }
    char node[BLOCK_PATH];
    block_path(name, node, sizeof node);
    enum verdict verdict = request->force ? VERDICT_TAKE : format_judge(request, node);
    if (verdict == VERDICT_TAKE)
        return format_path(request, node);
    if (verdict == VERDICT_DONE)
        format_say("%s is formatted already", path);
    return verdict == VERDICT_DONE ? STATUS_DONE : STATUS_REFUSED;
}

/* Drivers find disks on their own time: none at all is waited for. */
static int format_list(struct block_list *list, struct failure *failure)
{
    const struct timespec pause = {.tv_nsec = DISK_NANOSECONDS};
    for (int round = 0; round < DISK_ROUNDS; round++) {
        if (block_disks(list, failure) < 0)
            return -1;
        if (list->count > 0)
            return 0;
        nanosleep(&pause, NULL);
    }
    return 0;
}

/*
 * The first disk that is blank. With a label, a disk that has it already means that there is
 * nothing to do: a second one of the same label would be in doubt ever after.
 */
static enum status format_first(const struct request *request)
{
    static struct block_list list;
    struct failure failure;
    char path[BLOCK_PATH], chosen[BLOCK_PATH] = "", done[BLOCK_PATH] = "";
    if (format_list(&list, &failure) < 0) {
        format_say("%s", failure.text);
        return STATUS_REFUSED;
    }
    for (size_t index = 0; index < list.count; index++) {
        block_path(list.names[index], path, sizeof path);
        enum verdict verdict = format_judge(request, path);
        if (verdict == VERDICT_TAKE && !*chosen)
            strcpy(chosen, path);
        if (verdict == VERDICT_DONE && !*done)
            strcpy(done, path);
    }
    if (*done && (*request->label || !*chosen)) {
        format_say("%s is formatted already", done);
        return STATUS_DONE;
    }
    if (*chosen)
        return format_path(request, chosen);
    format_say("No eligible disks found");
    return STATUS_REFUSED;
}

static int format_request(struct request *request, const char *type, const char *partition,
                          struct failure *failure)
{
    for (size_t index = 0; index < sizeof format_makers / sizeof *format_makers; index++)
        if (strcmp(type, format_makers[index].type) == 0)
            request->maker = &format_makers[index];
    if (!request->maker)
        return failed(failure, "-type %s: not one of ext4, xfs, btrfs", type);
    if (strcmp(partition, "gpt") == 0)
        request->kind = TABLE_GPT;
    else if (strcmp(partition, "dos") == 0)
        request->kind = TABLE_MBR;
    else
        return failed(failure, "-partition %s: neither dos nor gpt", partition);
    if (strlen(request->label) > request->maker->label_most)
        return failed(failure, "-label %s: longer than the %zu bytes that %s has for it",
                      request->label, request->maker->label_most, type);
    return 0;
}

int main(int count, char *arguments[])
{
    const char *type = "ext4", *partition = "dos";
    struct request request = {.label = ""};
    struct failure failure;
    const struct flag flags[] = {
        {"type", &type, NULL},
        {"partition", &partition, NULL},
        {"label", &request.label, NULL},
        {"force", NULL, &request.force},
        {"verbose", NULL, &request.verbose},
        {NULL, NULL, NULL},
    };
    int rest = flags_read(count, arguments, flags, &failure);
    if (rest < 0 || format_request(&request, type, partition, &failure) < 0) {
        format_say("%s", failure.text);
        return STATUS_USAGE;
    }
    if (count - rest > 1 || (request.force && rest == count)) {
        format_say("%s", rest == count ? "-force needs a device" : "more than one device");
        return STATUS_USAGE;
    }
    if (rest < count)
        return (int)format_named(&request, arguments[rest]);
    return (int)format_first(&request);
}
