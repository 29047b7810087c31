/* archive.c: see archive.h. */
#include "archive.h"

#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MAGIC = 6, FIELDS = 13, DIGITS = 8, HEADER = MAGIC + FIELDS * DIGITS };

#define TRAILER "TRAILER!!!"

/* buffer-format.rst, "cpio_header": the numbers behind the magic, in their order. */
struct archive_header {
    uint32_t ino, mode, uid, gid, nlink, mtime, filesize, maj, min, rmaj, rmin, namesize, chksum;
};

/* The first name of an inode that has several. */
struct archive_link {
    uint32_t ino;
    char *path;
};

struct archive_reader {
    FILE *stream;
    const char *folder;
    bool apart;
    struct archive_header header;
    char path[PATH_SIZE];
    char partial[PATH_SIZE + 16];
    struct archive_link *links;
    size_t count;
};

static int archive_read(struct archive_reader *reader, void *bytes, size_t size,
                        struct failure *failure)
{
    if (fread(bytes, 1, size, reader->stream) == size)
        return 0;
    return failed(failure, "the archive ends within a member");
}

/* Members and their names end at multiples of four bytes, from the beginning of the header. */
static size_t archive_padding(size_t size)
{
    return (4 - size % 4) % 4;
}

/* As sscanf(3) would, which is a sixth of a static program. */
static int archive_number(const char *digits, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < DIGITS; i++) {
        const char *known = "0123456789abcdef", *at = strchr(known, digits[i] | 0x20);
        if (!at || !*at)
            return -1;
        *value = *value << 4 | (uint32_t)(at - known);
    }
    return 0;
}

static int archive_header(struct archive_reader *reader, struct failure *failure)
{
    char text[HEADER];
    uint32_t field[FIELDS];
    if (archive_read(reader, text, sizeof text, failure) < 0)
        return -1;
    if (memcmp(text, "070701", MAGIC) != 0)
        return failed(failure, "not a cpio archive");
    for (int i = 0; i < FIELDS; i++)
        if (archive_number(text + MAGIC + i * DIGITS, &field[i]) < 0)
            return failed(failure, "a header of the archive is damaged");
    memcpy(&reader->header, field, sizeof field);
    return 0;
}

/* Whether a name stays below the folder that it is unpacked in. */
static bool archive_stays(const char *name)
{
    if (*name == '/' || !*name)
        return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || !part[2]))
            return false;
    }
    return true;
}

/* The member's path; 1 at the end of the archive. */
static int archive_name(struct archive_reader *reader, struct failure *failure)
{
    char name[PATH_SIZE], nothing[4];
    const size_t size = reader->header.namesize;
    if (size < 2 || size > sizeof name)
        return failed(failure, "a name in the archive is too long");
    if (archive_read(reader, name, size, failure) < 0 ||
        archive_read(reader, nothing, archive_padding(HEADER + size), failure) < 0)
        return -1;
    if (name[size - 1] || strlen(name) != size - 1)
        return failed(failure, "a name in the archive is damaged");
    if (strcmp(name, TRAILER) == 0)
        return 1;
    int length = snprintf(reader->path, sizeof reader->path, "%s/%s", reader->folder, name);
    if (!archive_stays(name) || (size_t)length >= sizeof reader->path)
        return failed(failure, "a name in the archive cannot be used: %.200s", name);
    snprintf(reader->partial, sizeof reader->partial, "%s.compos-dev", reader->path);
    return 0;
}

/* Where it is made: in its place, or beside it, to be moved there. */
static const char *archive_place(const struct archive_reader *reader)
{
    return reader->apart && !S_ISDIR(reader->header.mode) ? reader->partial : reader->path;
}

/* The first name of a file with several, which is noted if this is it. */
static const char *archive_first(struct archive_reader *reader)
{
    const uint32_t ino = reader->header.ino;
    for (size_t i = 0; i < reader->count; i++)
        if (reader->links[i].ino == ino)
            return reader->links[i].path;
    struct archive_link *more = realloc(reader->links, (reader->count + 1) * sizeof *reader->links);
    if (!more)
        return NULL;
    reader->links = more;
    more[reader->count] = (struct archive_link){ino, strdup(reader->path)};
    reader->count += more[reader->count].path != NULL;
    return NULL;
}

static int archive_copy(struct archive_reader *reader, int file, struct failure *failure)
{
    static char bytes[1 << 16];
    size_t left = reader->header.filesize;
    while (left > 0) {
        size_t some = left < sizeof bytes ? left : sizeof bytes;
        if (archive_read(reader, bytes, some, failure) < 0)
            return -1;
        for (size_t done = 0; done < some;) {
            ssize_t put = write(file, bytes + done, some - done);
            if (put < 0)
                return failed_errno(failure, "%s", reader->path);
            done += (size_t)put;
        }
        left -= some;
    }
    return 0;
}

/* A link to the member's first name, if it has one that is not its own. */
static int archive_link(struct archive_reader *reader, bool *linked, struct failure *failure)
{
    const char *place = archive_place(reader);
    const char *first = reader->header.nlink > 1 ? archive_first(reader) : NULL;
    *linked = first != NULL;
    if (!first)
        return 0;
    unlink(place);
    return link(first, place) < 0 ? failed_errno(failure, "%s", reader->path) : 0;
}

static int archive_file(struct archive_reader *reader, struct failure *failure)
{
    const char *place = archive_place(reader);
    bool linked;
    if (archive_link(reader, &linked, failure) < 0)
        return -1;
    if (linked && reader->header.filesize == 0)
        return 0;
    if (!linked)
        unlink(place);
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
    int file = open(place, flags, 0600);
    if (file < 0)
        return failed_errno(failure, "%s", reader->path);
    int result = archive_copy(reader, file, failure);
    close(file);
    return result;
}

static int archive_symlink(struct archive_reader *reader, struct failure *failure)
{
    char target[PATH_SIZE];
    const size_t size = reader->header.filesize;
    if (size >= sizeof target)
        return failed(failure, "%s: the target is too long", reader->path);
    if (archive_read(reader, target, size, failure) < 0)
        return -1;
    target[size] = '\0';
    unlink(archive_place(reader));
    if (symlink(target, archive_place(reader)) < 0)
        return failed_errno(failure, "%s", reader->path);
    return 0;
}

static int archive_other(struct archive_reader *reader, struct failure *failure)
{
    const struct archive_header *header = &reader->header;
    if (S_ISDIR(header->mode))
        return mkdir(reader->path, 0700) < 0 && errno != EEXIST
                   ? failed_errno(failure, "%s", reader->path)
                   : 0;
    unlink(archive_place(reader));
    if (mknod(archive_place(reader), header->mode, makedev(header->rmaj, header->rmin)) < 0)
        return failed_errno(failure, "%s", reader->path);
    return 0;
}

static int archive_attributes(struct archive_reader *reader, struct failure *failure)
{
    const struct archive_header *header = &reader->header;
    const char *place = archive_place(reader);
    const struct timespec times[] = {{.tv_sec = header->mtime}, {.tv_sec = header->mtime}};
    if (lchown(place, header->uid, header->gid) < 0 ||
        (!S_ISLNK(header->mode) && chmod(place, header->mode & 07777) < 0) ||
        utimensat(AT_FDCWD, place, times, AT_SYMLINK_NOFOLLOW) < 0)
        return failed_errno(failure, "%s", reader->path);
    if (place != reader->path && rename(place, reader->path) < 0)
        return failed_errno(failure, "%s", reader->path);
    return 0;
}

static bool archive_removes(const struct archive_reader *reader)
{
    const struct archive_header *header = &reader->header;
    return reader->apart && S_ISCHR(header->mode) && header->rmaj == 0 && header->rmin == 0;
}

static int archive_member(struct archive_reader *reader, struct failure *failure)
{
    char nothing[4];
    int made;
    if (archive_removes(reader))
        return unlink(reader->path) < 0 && errno != ENOENT
                   ? failed_errno(failure, "%s", reader->path)
                   : 0;
    if (directory_make_parents(reader->path) < 0)
        return failed_errno(failure, "%s", reader->path);
    if (S_ISREG(reader->header.mode))
        made = archive_file(reader, failure);
    else if (S_ISLNK(reader->header.mode))
        made = archive_symlink(reader, failure);
    else
        made = archive_other(reader, failure);
    if (made < 0 ||
        archive_read(reader, nothing, archive_padding(reader->header.filesize), failure) < 0)
        return -1;
    return archive_attributes(reader, failure);
}

int archive_unpack(FILE *stream, const char *folder, bool apart, struct failure *failure)
{
    struct archive_reader reader = {.stream = stream, .folder = folder, .apart = apart};
    int result = 0;
    umask(0);
    while (result == 0) {
        result = archive_header(&reader, failure);
        if (result == 0)
            result = archive_name(&reader, failure);
        if (result == 0)
            result = archive_member(&reader, failure);
    }
    for (size_t i = 0; i < reader.count; i++)
        free(reader.links[i].path);
    free(reader.links);
    return result < 0 ? -1 : 0;
}
