/* archive.c: see archive.h. */
#include "archive.h"

#include "disk/bytes.h"

#include <stdio.h>
#include <string.h>

/* ustar: name 0, size 124, checksum 148, type 156, magic 257, prefix 345 */
enum { BLOCK = 512, NAME = 0, SIZE = 124, CHECKSUM = 148, TYPE = 156, PREFIX = 345 };
enum { NAME_LENGTH = 100, NUMBER_LENGTH = 12, PREFIX_LENGTH = 155, MAX_MEMBERS = 4096 };

/* An octal number; -1. A number of eight bytes (GNU) is larger than all that is taken here. */
static int64_t archive_number(const uint8_t *field, size_t length)
{
    int64_t number = 0;
    size_t at = 0;
    while (at < length && field[at] == ' ')
        at++;
    for (; at < length && field[at] >= '0' && field[at] <= '7'; at++)
        number = number * 8 + (field[at] - '0');
    return at < length && field[at] != 0 && field[at] != ' ' ? -1 : number;
}

static bool archive_is_header(const uint8_t *block)
{
    int64_t sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += i >= CHECKSUM && i < CHECKSUM + 8 ? ' ' : block[i];
    return memcmp(block + 257, "ustar", 5) == 0 && archive_number(block + CHECKSUM, 8) == sum;
}

int archive_is_there(const struct disk *disk, struct failure *failure)
{
    uint8_t block[BLOCK];
    if (read_at(disk->descriptor, block, sizeof block, 0) < 0)
        return failed_errno(failure, "cannot be read");
    return archive_is_header(block);
}

/* Which of the files a member is, by the names that builders give them, with or without the name of
   the system and a dash before; -1 for none. */
static int archive_which(const uint8_t *block)
{
    static const struct {
        const char *name;
        int file;
    } names[] = {{"kernel", ARCHIVE_KERNEL},
                 {"bzImage", ARCHIVE_KERNEL},
                 {"cmdline", ARCHIVE_CMDLINE},
                 {"initrd.img", ARCHIVE_INITRD}};
    char name[NAME_LENGTH + 1] = "";
    if (block[PREFIX] || (block[TYPE] && block[TYPE] != '0'))
        return -1;
    memcpy(name, block + NAME, NAME_LENGTH);
    const char *plain = strncmp(name, "./", 2) == 0 ? name + 2 : name;
    const char *dash = strchr(plain, '/') ? NULL : strrchr(plain, '-');
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(plain, names[i].name) == 0 || (dash && strcmp(dash + 1, names[i].name) == 0))
            return names[i].file;
    return -1;
}

static int archive_check(const struct archive_file files[ARCHIVE_FILES], struct failure *failure)
{
    if (!files[ARCHIVE_KERNEL].start)
        return failed(failure, "has no file kernel in its archive");
    if (!files[ARCHIVE_INITRD].start)
        return failed(failure, "has no file initrd.img in its archive");
    return 0;
}

int archive_read(const struct disk *disk, struct archive_file files[ARCHIVE_FILES],
                 struct failure *failure)
{
    uint64_t at = 0;
    memset(files, 0, ARCHIVE_FILES * sizeof files[0]);
    for (int member = 0; member < MAX_MEMBERS && at + BLOCK <= disk->size; member++) {
        uint8_t block[BLOCK];
        if (read_at(disk->descriptor, block, sizeof block, at) < 0)
            return failed_errno(failure, "cannot be read");
        if (!block[NAME])
            return archive_check(files, failure);
        int64_t size = archive_is_header(block) ? archive_number(block + SIZE, NUMBER_LENGTH) : -1;
        at += BLOCK;
        if (size < 0 || size > UINT32_MAX || (uint64_t)size > disk->size - at)
            return failed(failure, "has a damaged archive: member %d", member + 1);
        int which = archive_which(block);
        if (which >= 0)
            files[which] = (struct archive_file){at, (uint64_t)size};
        at += ((uint64_t)size + BLOCK - 1) / BLOCK * BLOCK;
    }
    return failed(failure, "has an archive without an end");
}
