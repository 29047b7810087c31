/* payload.c: see payload.h. */
#include "payload.h"

#include "base/files.h"
#include "disk/block.h"
#include "disk/bytes.h"
#include "disk/report.h"
#include "disk/terminal.h"
#include "luks/slot.h"
#include "volumes.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MIB = 1 << 20,
    LIST = 64 << 10,
    SYNC_BYTES = 64 << 20, /* so that progress is what the disk has taken */
    BEHIND = 16 << 20,     /* what others have left behind the system */
    STEPS = 10
};

#define FIRST_LINE "compos-disk\t1"

static int payload_digest(const char *text, uint8_t digest[SHA256_SIZE])
{
    for (size_t index = 0; index < SHA256_SIZE; index++) {
        char pair[3] = {text[2 * index], text[2 * index] ? text[2 * index + 1] : 0, 0}, *end;
        digest[index] = (uint8_t)strtoul(pair, &end, 16);
        if (!pair[1] || *end)
            return -1;
    }
    return text[2 * SHA256_SIZE] ? -1 : 0;
}

/* In order and within the disk, the first one with the table's head. */
static bool payload_is_next(const struct payload *payload, const struct payload_part *part)
{
    if (payload->count == 0)
        return part->offset == 0 && part->length >= TABLE_HEAD && part->length <= payload->size;
    const struct payload_part *last = &payload->parts[payload->count - 1];
    return part->length > 0 && part->offset % 512 == 0 &&
           part->offset >= last->offset + last->length && part->offset <= payload->size &&
           part->length <= payload->size - part->offset;
}

/* "volume", offset, size, name, whether there is a recovery key */
static int payload_volume(struct payload *payload, char *const fields[], struct failure *failure)
{
    if (!fields[4] || payload->volume_count == PAYLOAD_VOLUMES ||
        strlen(fields[3]) >= PAYLOAD_VOLUME || strchr(fields[3], '/'))
        return failed(failure, "its list of volumes is damaged");
    struct payload_volume *volume = &payload->volumes[payload->volume_count++];
    volume->offset = strtoull(fields[1], NULL, 10);
    volume->size = strtoull(fields[2], NULL, 10);
    strcpy(volume->name, fields[3]);
    payload->recovery = strcmp(fields[4], "yes") == 0;
    return 0;
}

/* Each is on the disk, and has room for the parts in it; no part is in it by half. */
static bool payload_fits(const struct payload *payload)
{
    for (size_t index = 0; index < payload->volume_count; index++) {
        const struct payload_volume *volume = &payload->volumes[index];
        if (volume->offset < TABLE_HEAD || volume->offset > payload->size ||
            volume->size > payload->size - volume->offset || volume->size <= SLOT_DATA)
            return false;
        uint64_t end = volume->offset + volume->size;
        for (const struct payload_part *part = payload->parts;
             part < payload->parts + payload->count; part++)
            if (part->offset < end && part->offset + part->length > volume->offset &&
                (part->offset < volume->offset || part->offset + part->length > end - SLOT_DATA))
                return false;
    }
    return true;
}

static int payload_line(struct payload *payload, char *line, struct failure *failure)
{
    char *fields[5] = {line};
    for (size_t index = 1; index < 5 && (line = strchr(line, '\t')); index++) {
        *line++ = 0;
        fields[index] = line;
    }
    if (strcmp(fields[0], "name") == 0 && fields[1]) {
        snprintf(payload->name, sizeof payload->name, "%s", fields[1]);
        return 0;
    }
    if (strcmp(fields[0], "size") == 0 && fields[1]) {
        payload->size = strtoull(fields[1], NULL, 10);
        return 0;
    }
    if (strcmp(fields[0], "volume") == 0)
        return payload_volume(payload, fields, failure);
    if (strcmp(fields[0], "part") != 0 || !fields[3] || payload->count == PAYLOAD_PARTS)
        return failed(failure, "its list of parts is damaged");
    struct payload_part part = {strtoull(fields[1], NULL, 10), strtoull(fields[2], NULL, 10), {0}};
    if (payload_digest(fields[3], part.digest) < 0 || !payload_is_next(payload, &part))
        return failed(failure, "its list of parts is damaged");
    payload->parts[payload->count++] = part;
    payload->length += part.length;
    return 0;
}

static int payload_read(struct payload *payload, char *text, struct failure *failure)
{
    char *rest = text, *line = strsep(&rest, "\n");
    if (strcmp(line, FIRST_LINE) != 0)
        return failed(failure, "its list of parts is of another version");
    while ((line = strsep(&rest, "\n")) != NULL)
        if (*line && payload_line(payload, line, failure) < 0)
            return -1;
    if (payload->count == 0)
        return failed(failure, "it has no parts");
    return payload_fits(payload) ? 0 : failed(failure, "its list of volumes is damaged");
}

int payload_open(struct payload *payload, const char *folder, struct failure *failure)
{
    char path[PATH_SIZE];
    size_t length;
    *payload = (struct payload){.name = "the system"};
    snprintf(path, sizeof path, "%s/parts", folder);
    char *text = file_read(path, LIST, &length);
    if (!text)
        return failed_errno(failure, "%s", path);
    int status = payload_read(payload, text, failure);
    free(text);
    if (status < 0)
        return -1;
    snprintf(path, sizeof path, "%s/data", folder);
    payload->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    return payload->descriptor < 0 ? failed_errno(failure, "%s", path) : 0;
}

/* Zeros, which a disk that can need not store. */
static int payload_clear(const struct disk *disk, uint64_t offset, uint64_t length,
                         struct failure *failure)
{
    static uint8_t zeros[MIB];
    if (length == 0)
        return 0;
    if (fallocate(disk->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                  (off_t)length) == 0)
        return 0;
    for (uint64_t done = 0; done < length;) {
        size_t part = length - done < sizeof zeros ? (size_t)(length - done) : sizeof zeros;
        if (write_at(disk->descriptor, zeros, part, offset + done) < 0)
            return failed_errno(failure, "cannot be written");
        done += part;
    }
    return 0;
}

/* Between the parts, and a little behind them: there the machine makes a partition for its data. */
static int payload_clear_gaps(const struct payload *payload, const struct disk *disk,
                              struct failure *failure)
{
    uint64_t at = 0,
             end = payload->size + BEHIND < disk->size ? payload->size + BEHIND : disk->size;
    for (size_t index = 0; index <= payload->count; index++) {
        const struct payload_part *part = &payload->parts[index];
        uint64_t next = index < payload->count ? part->offset : end;
        /* The first MiB has been cleared behind the mark. */
        uint64_t from = at < MIB ? MIB : at;
        if (next > from && payload_clear(disk, from, next - from, failure) < 0)
            return -1;
        if (index < payload->count)
            at = part->offset + part->length;
    }
    return 0;
}

struct copying {
    const struct payload *payload;
    const struct disk *disk;
    const struct volumes *volumes;
    uint64_t done;
    uint8_t *head;   /* TABLE_HEAD bytes, which are written last */
    uint8_t *buffer; /* MIB */
};

static void payload_progress(uint64_t before, uint64_t now, uint64_t all)
{
    if (now * STEPS / all > before * STEPS / all)
        report("installer", "%llu %%", (unsigned long long)(now * STEPS / all * 100 / STEPS));
}

/* What is in front of TABLE_HEAD is kept, and not written. */
static int payload_place(const struct copying *copying, uint64_t at, size_t length,
                         struct failure *failure)
{
    size_t kept = 0;
    if (at < TABLE_HEAD) {
        kept = length < TABLE_HEAD - at ? length : (size_t)(TABLE_HEAD - at);
        memcpy(copying->head + at, copying->buffer, kept);
    }
    at += kept;
    int device = volumes_place(copying->volumes, copying->disk, &at);
    if (write_at(device, copying->buffer + kept, length - kept, at) < 0)
        return failed_errno(failure, "cannot be written");
    return 0;
}

static int payload_copy_part(struct copying *copying, const struct payload_part *part,
                             struct failure *failure)
{
    struct sha256 hash;
    uint8_t digest[SHA256_SIZE];
    sha256_begin(&hash);
    for (uint64_t at = 0; at < part->length;) {
        size_t length = part->length - at < MIB ? (size_t)(part->length - at) : MIB;
        if (read_at(copying->payload->descriptor, copying->buffer, length, copying->done) < 0)
            return failed_errno(failure, "the medium cannot be read");
        sha256_add(&hash, copying->buffer, length);
        if (payload_place(copying, part->offset + at, length, failure) < 0)
            return -1;
        at += length;
        copying->done += length;
        if (copying->done % SYNC_BYTES < length && fdatasync(copying->disk->descriptor) < 0)
            return failed_errno(failure, "cannot be written");
        payload_progress(copying->done - length, copying->done, copying->payload->length);
    }
    sha256_end(&hash, digest);
    if (memcmp(digest, part->digest, sizeof digest) != 0)
        return failed(failure,
                      "the installer's medium is damaged: what it has of the disk at "
                      "byte %llu is not what was built",
                      (unsigned long long)part->offset);
    return 0;
}

static int payload_copy(const struct payload *payload, const struct disk *disk,
                        const struct volumes *volumes, uint8_t *head, struct failure *failure)
{
    struct copying copying = {payload, disk, volumes, 0, head, malloc(MIB)};
    int status = copying.buffer ? 0 : failed_errno(failure, "no memory");
    for (size_t index = 0; status == 0 && index < payload->count; index++)
        status = payload_copy_part(&copying, &payload->parts[index], failure);
    free(copying.buffer);
    if (status == 0 && fsync(disk->descriptor) < 0)
        return failed_errno(failure, "cannot be written");
    return status;
}

static int payload_fill(const struct payload *payload, const struct disk *disk, const char *path,
                        struct volumes *volumes, uint8_t *head, struct failure *failure)
{
    struct failure unsynced;
    int status = volumes_make(volumes, payload, disk, path, failure);
    if (status == 0)
        status = payload_copy(payload, disk, volumes, head, failure);
    if (volumes_close(volumes, &unsynced) == 0 || status < 0)
        return status;
    *failure = unsynced;
    return -1;
}

int payload_write(const struct payload *payload, const struct disk *disk, const char *path,
                  struct failure *failure)
{
    static uint8_t head[TABLE_HEAD];
    struct partition whole;
    struct volumes volumes;
    if (disk_forget_partitions(disk, failure) < 0 ||
        table_plan(disk, TABLE_GPT, &whole, failure) < 0 ||
        table_begin(disk, &whole, failure) < 0 || payload_clear_gaps(payload, disk, failure) < 0)
        return -1;
    int status = payload_fill(payload, disk, path, &volumes, head, failure);
    if (status == 0)
        status = table_adopt(disk, head, failure);
    if (status == 0 && *volumes.recovery)
        terminal_show("\nThe recovery key of the roots, shown this once:\n\n    %s\n\n"
                      "Whoever has it can decrypt them without this machine.\n\n",
                      volumes.recovery);
    explicit_bzero(volumes.recovery, sizeof volumes.recovery);
    return status;
}
