/*
 * disk_driver.c: bricks/disk/src on the image of a disk. `CUT=N` in the environment: the power
 * fails at write N, of which half arrives.
 */
#include "disk/bytes.h"
#include "disk/contents.h"
#include "disk/signature.h"
#include "disk/table.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

ssize_t __real_pwrite(int descriptor, const void *bytes, size_t length, off_t offset);
ssize_t __wrap_pwrite(int descriptor, const void *bytes, size_t length, off_t offset);

ssize_t __wrap_pwrite(int descriptor, const void *bytes, size_t length, off_t offset)
{
    static int left = -1;
    const char *cut = getenv("CUT");
    if (left < 0)
        left = cut ? atoi(cut) : 1 << 30;
    if (left-- == 0) {
        /* A sector arrives as a whole or not at all. */
        size_t half = length / 2 / 512 * 512;
        if (half > 0)
            (void)!__real_pwrite(descriptor, bytes, half, offset);
        _exit(9);
    }
    return __real_pwrite(descriptor, bytes, length, offset);
}

static int driver_contents(const struct disk *disk, struct failure *failure)
{
    static const char *const names[] = {"blank", "unfinished", "other"};
    char text[700];
    int contents = contents_read(disk, text, sizeof text, failure);
    if (contents >= 0)
        printf("%s %s\n", names[contents], text);
    return contents;
}

static int driver_signature(const struct disk *disk, struct failure *failure)
{
    struct signature signature;
    const struct region region = {disk->descriptor, 0, disk->size};
    int found = signature_read(&region, &signature, failure);
    if (found > 0)
        printf("%s|%s|%s|%llu%s\n", signature.name, signature.label, signature.uuid,
               (unsigned long long)signature.size, signature.unused ? "|unused" : "");
    return found;
}

static int driver_format(const struct disk *disk, enum table_kind kind, struct failure *failure)
{
    struct partition partition;
    if (table_plan(disk, kind, &partition, failure) < 0 ||
        table_begin(disk, &partition, failure) < 0)
        return -1;
    return table_finish(disk, kind, &partition, failure);
}

static int driver_extend(const struct disk *disk, struct failure *failure)
{
    struct table table;
    if (table_read(disk, &table, failure) < 0 || table.count != 1)
        return -1;
    return table_extend(disk, &table, table_room(disk, &table), failure);
}

int main(int count, char *arguments[])
{
    struct failure failure = {""};
    struct stat state;
    if (count != 3)
        return 2;
    struct disk disk = {.descriptor = open(arguments[2], O_RDWR | O_CLOEXEC), .sector = 512};
    if (disk.descriptor < 0 || fstat(disk.descriptor, &state) < 0)
        return 2;
    disk.size = (uint64_t)state.st_size;
    const char *verb = arguments[1];
    int status = strcmp(verb, "contents") == 0    ? driver_contents(&disk, &failure)
                 : strcmp(verb, "signature") == 0 ? driver_signature(&disk, &failure)
                 : strcmp(verb, "mbr") == 0       ? driver_format(&disk, TABLE_MBR, &failure)
                 : strcmp(verb, "gpt") == 0       ? driver_format(&disk, TABLE_GPT, &failure)
                                                  : driver_extend(&disk, &failure);
    if (status < 0)
        fprintf(stderr, "%s\n", failure.text);
    return status < 0;
}
