/*
 * place.c: see place.h.
 *
 * Sources: systemd, "The Boot Loader Interface" (LoaderDevicePartUUID: the partition that firmware
 * has read the system from); UEFI 2.10, 8.2 (variables), 5.3.3 (entries of a GPT).
 */
#include "place.h"

#include "disk/bytes.h"
#include "disk/gpt.h"
#include "disk/signature.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define BOOTED "/firmware/efi/efivars/LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

enum {
    MIB = 1 << 20,
    LEAST = 32 * MIB, /* a LUKS2 header is half of that */
    MARK_SIZE = 512,
    ROUNDS = 200,
    PAUSE_NANOSECONDS = 50000000,
    GUID_TEXT = 37,
    VARIABLE_ATTRIBUTES = 4
};

static const char place_mark[] = "compos: the data partition is being made\n";

/* A GUID as text: its first three groups stand in little-endian order. */
static void place_guid_text(const uint8_t *guid, char text[GUID_TEXT])
{
    snprintf(text, GUID_TEXT, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", little32(guid),
             little16(guid + 4), little16(guid + 6), guid[8], guid[9], guid[10], guid[11], guid[12],
             guid[13], guid[14], guid[15]);
}

/* The partition that the firmware has started the system from; false where it does not say. */
static bool place_booted(char text[GUID_TEXT])
{
    uint8_t bytes[VARIABLE_ATTRIBUTES + 2 * GUID_TEXT];
    int file = open(BOOTED, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, bytes, sizeof bytes);
    if (file >= 0)
        close(file);
    if (length < VARIABLE_ATTRIBUTES + 2 * (GUID_TEXT - 1))
        return false;
    for (int index = 0; index < GUID_TEXT - 1; index++)
        text[index] = (char)bytes[VARIABLE_ATTRIBUTES + 2 * index];
    text[GUID_TEXT - 1] = 0;
    return true;
}

static bool place_has(const struct table *table, const char *guid)
{
    char text[GUID_TEXT];
    for (size_t index = 0; index < table->count; index++) {
        place_guid_text(table->partitions[index].guid, text);
        if (strcasecmp(text, guid) == 0)
            return true;
    }
    return false;
}

/* Reads the table of a disk, which stays open only if it is a GPT. */
static int place_open(struct place *place, const char *path, struct table *table,
                      struct failure *failure)
{
    if (disk_open(&place->disk, path, O_RDWR, failure) < 0)
        return -1;
    if (table_read(&place->disk, table, failure) == 0) {
        if (table->kind == TABLE_GPT)
            return 0;
        failed(failure, "%s has no GPT", path);
    }
    place_close(place);
    return -1;
}

/*
 * The disk with the partition that was booted; where the firmware names none, the only one with a
 * GPT. 1, 0, or -1 when there are several.
 */
static int place_look(struct place *place, char *path, struct table *table, struct failure *failure)
{
    static struct block_list list;
    char guid[GUID_TEXT], chosen[BLOCK_PATH] = "";
    bool booted = place_booted(guid);
    struct failure ignored;
    if (block_disks(&list, failure) < 0)
        return -1;
    for (size_t index = 0; index < list.count; index++) {
        block_path(list.names[index], path, BLOCK_PATH);
        if (place_open(place, path, table, &ignored) < 0)
            continue;
        if (booted && place_has(table, guid))
            return 1;
        place_close(place);
        if (!booted && *chosen)
            return failed(failure, "several disks have a GPT (%s, %s): name one in the YAML",
                          chosen, path);
        strcpy(chosen, path);
    }
    if (booted || !*chosen)
        return 0;
    strcpy(path, chosen);
    return place_open(place, path, table, failure) < 0 ? -1 : 1;
}

/* Drivers find disks on their own time. */
static int place_find_disk(struct place *place, const char *device, char *path, struct table *table,
                           struct failure *failure)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NANOSECONDS};
    if (device) {
        snprintf(path, BLOCK_PATH, "%s", device);
        if (block_wait(device, failure) < 0)
            return -1;
        return place_open(place, path, table, failure);
    }
    for (int round = 0; round < ROUNDS; round++) {
        int found = place_look(place, path, table, failure);
        if (found != 0)
            return found < 0 ? -1 : 0;
        nanosleep(&pause, NULL);
    }
    return failed(failure, "no disk has the partition that this system was booted from");
}

/* The last sector that partitions may use. */
static uint64_t place_mark_at(const struct disk *disk)
{
    return gpt_end(disk) - disk->sector;
}

static int place_write_mark(const struct disk *disk, const char *text, struct failure *failure)
{
    char mark[MARK_SIZE] = "";
    strcpy(mark, text);
    if (write_at(disk->descriptor, mark, sizeof mark, place_mark_at(disk)) < 0 ||
        fsync(disk->descriptor) < 0)
        return failed_errno(failure, "cannot be written");
    return 0;
}

static int place_has_mark(const struct disk *disk, bool *marked, struct failure *failure)
{
    char mark[MARK_SIZE];
    if (read_at(disk->descriptor, mark, sizeof mark, place_mark_at(disk)) < 0)
        return failed_errno(failure, "cannot be read");
    *marked = strncmp(mark, place_mark, sizeof mark) == 0;
    return 0;
}

/* The entry of the data partition, if there is one; how far all others reach, and its number. */
static bool place_read_table(const struct table *table, struct partition *partition,
                             uint64_t *others, unsigned *number)
{
    bool found = false;
    *others = MIB;
    *number = 1;
    for (size_t index = 0; index < table->count; index++) {
        const struct partition *one = &table->partitions[index];
        uint64_t end = one->start + one->size;
        if (!found && one->linux_data && strcmp(one->name, PLACE_NAME) == 0) {
            *partition = *one;
            found = true;
            continue;
        }
        if (end > *others)
            *others = end;
        if (one->number >= *number)
            *number = one->number + 1;
    }
    return found;
}

/* How large a partition that begins at `start` may be. */
static uint64_t place_room(const struct disk *disk, uint64_t start, uint64_t size)
{
    uint64_t end = place_mark_at(disk) / MIB * MIB;
    uint64_t room = end > start ? end - start : 0;
    return size > 0 && size < room ? size / MIB * MIB : room;
}

/* Whether something is already where the partition is to be. */
static int place_judge(struct place *place, const char *path, bool marked, struct failure *failure)
{
    const struct region region = {place->disk.descriptor, place->partition.start,
                                  place->partition.size};
    struct signature signature;
    place->blank = marked;
    if (marked)
        return 0;
    int found = signature_read(&region, &signature, failure);
    int blank = found == 0 ? region_is_blank(&region, failure) : 0;
    if (found < 0 || blank < 0)
        return -1;
    place->blank = blank > 0;
    if (found > 0 || blank > 0)
        return 0;
    return failed(failure,
                  "%s holds data of an unknown kind from byte %llu on, where the data partition "
                  "belongs; nothing is changed",
                  path, (unsigned long long)place->partition.start);
}

static int place_set(struct place *place, const struct table *table, struct failure *failure)
{
    if (table_set(&place->disk, table, &place->partition, failure) < 0)
        return -1;
    place->changed = true;
    return 0;
}

/*
 * Where a new partition begins: behind all others, and behind the copy of the table that lies in
 * the middle of a disk onto which a smaller image was written.
 */
static int place_start(const struct disk *disk, uint64_t others, uint64_t *start,
                       struct failure *failure)
{
    uint8_t header[512];
    if (read_at(disk->descriptor, header, sizeof header, disk->sector) < 0)
        return failed_errno(failure, "cannot be read");
    uint64_t copy = little64(header + 32);
    if (copy < disk->size / disk->sector - 1 && (copy + 1) * disk->sector > others)
        others = (copy + 1) * disk->sector;
    *start = (others + MIB - 1) / MIB * MIB;
    return 0;
}

/* A new entry. What an earlier installation has left at this place is kept. */
static int place_append(struct place *place, const char *path, const struct table *table,
                        const struct place_wish *wish, bool marked, struct failure *failure)
{
    struct partition *partition = &place->partition;
    partition->size = place_room(&place->disk, partition->start, wish->size);
    strcpy(partition->name, PLACE_NAME);
    if (partition->number > TABLE_MOST || partition->size < LEAST ||
        partition->size < wish->size / MIB * MIB)
        return failed(failure, "%s has %llu MiB behind its last partition: not enough", path,
                      (unsigned long long)partition->size / MIB);
    if (place_judge(place, path, marked, failure) < 0)
        return -1;
    if (place->blank && place_write_mark(&place->disk, place_mark, failure) < 0)
        return -1;
    if (place_set(place, table, failure) < 0)
        return -1;
    return disk_resize_partition(&place->disk, partition, failure);
}

/* An entry that is there, with the room behind it if nothing else is. */
static int place_take(struct place *place, const char *path, const struct table *table,
                      const struct place_wish *wish, uint64_t others, bool marked,
                      struct failure *failure)
{
    struct partition *partition = &place->partition;
    uint64_t end = partition->start + partition->size;
    if (partition->start >= place->disk.size || end > place->disk.size)
        return failed(failure, "%s: the data partition reaches beyond the end of the disk", path);
    if (place_judge(place, path, marked, failure) < 0)
        return -1;
    uint64_t room = place_room(&place->disk, partition->start, wish->size);
    bool grows = !wish->fixed && others <= partition->start && room >= partition->size + MIB;
    if (grows)
        partition->size = room;
    /* The mark's place depends on the size of the disk: a disk has grown while it was made. */
    if (place->blank && !marked && place_write_mark(&place->disk, place_mark, failure) < 0)
        return -1;
    if ((grows || table->damaged) && place_set(place, table, failure) < 0)
        return -1;
    return disk_resize_partition(&place->disk, partition, failure);
}

int place_find(struct place *place, const struct place_wish *wish, struct failure *failure)
{
    struct table *table = calloc(1, sizeof *table);
    char path[BLOCK_PATH];
    uint64_t others;
    unsigned number;
    bool marked = false;
    *place = (struct place){.disk = {.descriptor = -1}};
    if (!table)
        return failed_errno(failure, "no memory");
    int status = place_find_disk(place, wish->device, path, table, failure);
    /*
     * What was written through a partition is not in the cache of its disk: whoever asks a second
     * time would take for blank what has been written since. Not possible on a file.
     */
    if (status == 0)
        ioctl(place->disk.descriptor, BLKFLSBUF, 0);
    if (status == 0)
        status = place_has_mark(&place->disk, &marked, failure);
    if (status == 0 && place_read_table(table, &place->partition, &others, &number))
        status = place_take(place, path, table, wish, others, marked, failure);
    else if (status == 0) {
        place->partition = (struct partition){.number = number, .linux_data = true};
        status = place_start(&place->disk, others, &place->partition.start, failure);
        if (status == 0)
            status = place_append(place, path, table, wish, marked, failure);
    }
    free(table);
    if (status < 0)
        return -1;
    block_partition_path(path, place->partition.number, place->node, sizeof place->node);
    return block_wait(place->node, failure);
}

void place_close(struct place *place)
{
    if (place->disk.descriptor >= 0)
        close(place->disk.descriptor);
    place->disk.descriptor = -1;
}

int place_complete(struct place *place, struct failure *failure)
{
    int node = open(place->node, O_RDWR | O_CLOEXEC);
    if (node < 0)
        return failed_errno(failure, "%s", place->node);
    int status = fsync(node) < 0 ? failed_errno(failure, "%s", place->node) : 0;
    close(node);
    return status < 0 ? -1 : place_write_mark(&place->disk, "", failure);
}
