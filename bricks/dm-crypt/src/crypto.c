/*
 * crypto.c: opens an encrypted device, and makes it, with an ext4 file system, on one that is
 * blank or holds an ext file system that nobody has used, such as `format` has just made.
 *
 * What is half-made is never taken for data. LUKS: the device's first sector says BEGUN; header and
 * file system are made with the header in a file, which is copied when all else is on the disk, its
 * first sector last. Plain: a sector near the end of the decrypted device, which the file system
 * leaves free, says BEGUN until mkfs has ended and all is on the disk.
 */
#include "disk/block.h"
#include "disk/bytes.h"
#include "disk/contents.h"
#include "disk/report.h"
#include "disk/signature.h"
#include "disk/tool.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS "/etc/dm-crypt"
#define HEADER "/run/crypto.header"
#define MAPPER "/dev/mapper/"
#define CIPHER "aes-cbc-essiv:sha256"

enum {
    MARK = 4096,       /* bytes at the end that the file system leaves free */
    FIRST = 512,       /* what a disk writes as a whole */
    SUPERBLOCK = 1024, /* where ext's begins */
    HEADER_SIZE = 16 << 20,
    TOOL_SECONDS = 600, /* a slow machine may take a minute for the passphrase's Argon2 */
    MKFS_SECONDS = 3600,
};

static const char crypto_begun[] = "compos: crypto has begun here\n";
static const char crypto_done[] = "compos: crypto has made this file system\n";

struct wish {
    bool luks;
    const char *key;
    const char *name;
    const char *device;
};

#define crypto_say(...) report("crypto", __VA_ARGS__)

static int crypto_write(const struct disk *disk, const void *bytes, size_t length, uint64_t offset,
                        struct failure *failure)
{
    if (write_at(disk->descriptor, bytes, length, offset) < 0 || fsync(disk->descriptor) < 0)
        return failed_errno(failure, "cannot be written");
    return 0;
}

/* Writes and syncs one sector with one of the two texts. */
static int crypto_mark(const struct disk *disk, const char *text, uint64_t offset,
                       struct failure *failure)
{
    char mark[FIRST] = "";
    strcpy(mark, text);
    return crypto_write(disk, mark, sizeof mark, offset, failure);
}

static bool crypto_has_mark(const struct disk *disk, const char *text, uint64_t offset)
{
    char mark[FIRST] = "";
    return read_at(disk->descriptor, mark, sizeof mark, offset) == 0 &&
           strncmp(mark, text, sizeof mark) == 0;
}

/* The header is made in a file and copied: all but its first sector, then that. */
static int crypto_copy_header(const struct disk *disk, struct failure *failure)
{
    int file = open(HEADER, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes = file < 0 ? NULL : malloc(HEADER_SIZE);
    int status = -1;
    if (!bytes || read_at(file, bytes, HEADER_SIZE, 0) < 0)
        failed_errno(failure, HEADER);
    else if (crypto_write(disk, bytes + FIRST, HEADER_SIZE - FIRST, FIRST, failure) == 0)
        status = crypto_write(disk, bytes, FIRST, 0, failure);
    free(bytes);
    if (file >= 0)
        close(file);
    return status;
}

static int crypto_make_header(const struct wish *wish, struct failure *failure)
{
    const char *const arguments[] = {
        "cryptsetup", "luksFormat", "--batch-mode", "--type",     "luks2",   "--cipher",
        CIPHER,       "--key-size", "256",          "--key-file", wish->key, "--offset",
        "32768",      "--header",   HEADER,         wish->device, NULL};
    int file = open(HEADER, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, HEADER_SIZE) < 0) {
        failed_errno(failure, HEADER);
        if (file >= 0)
            close(file);
        return -1;
    }
    close(file);
    return tool_run(arguments, -1, TOOL_SECONDS, false, failure);
}

static int crypto_open_luks(const struct wish *wish, const char *header, struct failure *failure)
{
    const char *arguments[12] = {"cryptsetup", "open",    "--type",     "luks",
                                 "--key-file", wish->key, wish->device, wish->name};
    if (header) {
        arguments[8] = "--header";
        arguments[9] = header;
    }
    return tool_run(arguments, -1, TOOL_SECONDS, false, failure);
}

static int crypto_open_plain(const struct wish *wish, struct failure *failure)
{
    const char *const arguments[] = {"cryptsetup", "open",       "--type", "plain",      "--cipher",
                                     CIPHER,       "--key-size", "256",    "--key-file", wish->key,
                                     wish->device, wish->name,   NULL};
    return tool_run(arguments, -1, TOOL_SECONDS, false, failure);
}

static void crypto_close(const struct wish *wish)
{
    struct failure failure;
    const char *const arguments[] = {"cryptsetup", "close", wish->name, NULL};
    if (tool_run(arguments, -1, TOOL_SECONDS, false, &failure) < 0)
        crypto_say("%s", failure.text);
}

static int crypto_make_filesystem(const struct disk *disk, const char *node,
                                  struct failure *failure)
{
    char blocks[32];
    uint64_t place = disk->size - MARK;
    snprintf(blocks, sizeof blocks, "%lluk", (unsigned long long)(place >> 12 << 2));
    const char *const arguments[] = {"mkfs.ext4", "-F", "-q", "-b", "4096", node, blocks, NULL};
    if (crypto_mark(disk, crypto_begun, place, failure) < 0 ||
        tool_run(arguments, -1, MKFS_SECONDS, false, failure) < 0)
        return -1;
    if (fsync(disk->descriptor) < 0)
        return failed_errno(failure, "%s", node);
    return crypto_mark(disk, crypto_done, place, failure);
}

/* The file system where there is none yet. `made`: the device below was blank a moment ago. */
static int crypto_fill(const struct wish *wish, bool made, struct failure *failure)
{
    struct disk disk;
    struct signature signature;
    char node[BLOCK_PATH];
    snprintf(node, sizeof node, MAPPER "%s", wish->name);
    if (disk_open(&disk, node, O_RDWR, failure) < 0)
        return -1;
    const struct region region = {disk.descriptor, 0, disk.size};
    int status = 0;
    int found = signature_read(&region, &signature, failure);
    bool begun = crypto_has_mark(&disk, crypto_begun, disk.size - MARK);
    int blank = found == 0 ? region_is_blank(&region, failure) : 0;
    if (found < 0 || blank < 0)
        status = -1;
    else if (made || begun || blank > 0)
        status = crypto_make_filesystem(&disk, node, failure);
    else if (found == 0)
        status = failed(failure, "holds nothing that this key makes readable; nothing is changed");
    close(disk.descriptor);
    return status;
}

/* All but the header in its place, then that. The device stays open. */
static int crypto_make_luks(const struct wish *wish, const struct disk *disk,
                            struct failure *failure)
{
    if (crypto_mark(disk, crypto_begun, 0, failure) < 0 || crypto_make_header(wish, failure) < 0 ||
        crypto_open_luks(wish, HEADER, failure) < 0)
        return -1;
    if (crypto_fill(wish, true, failure) == 0 && crypto_copy_header(disk, failure) == 0)
        return 0;
    crypto_close(wish);
    return -1;
}

enum state { STATE_FAILED = -1, STATE_OURS, STATE_NEW };

/* An ext file system without a file: LinuxKit's users let `format` make the partition. */
static int crypto_is_unused(const struct disk *disk, struct failure *failure)
{
    struct signature signature;
    const struct region region = {disk->descriptor, 0, disk->size};
    int found = signature_read(&region, &signature, failure);
    return found > 0 ? signature.unused : found;
}

/*
 * What an unused file system means. It needs no wiping: it is seen until its superblock's first
 * sector is gone, and what then remains is known by the marks. What stands before the superblock
 * is a partition table, or half of what was to replace the file system: that, too, has a mark.
 */
static enum state crypto_state_of_unused(const struct wish *wish, const struct disk *disk,
                                         struct failure *failure)
{
    const struct region before = {disk->descriptor, 0, SUPERBLOCK};
    int blank = region_is_blank(&before, failure);
    if (blank < 0)
        return STATE_FAILED;
    if (blank)
        return STATE_NEW;
    if (!wish->luks)
        return STATE_OURS;
    failed(failure, "holds an unused file system and something else; nothing is changed");
    return STATE_FAILED;
}

/* Whether the device is blank, unused or half-made, or holds what is to be opened. */
static enum state crypto_state(const struct wish *wish, const struct disk *disk,
                               struct failure *failure)
{
    char text[700];
    int contents = contents_read(disk, text, sizeof text, failure);
    if (contents < 0)
        return STATE_FAILED;
    if (contents == CONTENTS_BLANK || crypto_has_mark(disk, crypto_begun, 0))
        return STATE_NEW;
    int unused = contents == CONTENTS_OTHER ? crypto_is_unused(disk, failure) : 0;
    if (unused != 0)
        return unused < 0 ? STATE_FAILED : crypto_state_of_unused(wish, disk, failure);
    /* What a plain device holds looks like nothing that is known. */
    if (contents == CONTENTS_OTHER && (wish->luks ? strncmp(text, "a LUKS", 6) == 0
                                                  : strcmp(text, "data of an unknown kind") == 0))
        return STATE_OURS;
    failed(failure, "holds %s; nothing is changed",
           contents == CONTENTS_UNFINISHED ? "an unfinished format" : text);
    return STATE_FAILED;
}

static int crypto_run_luks(const struct wish *wish, struct failure *failure)
{
    struct disk disk;
    if (disk_open(&disk, wish->device, O_RDWR, failure) < 0)
        return -1;
    enum state state = crypto_state(wish, &disk, failure);
    int status = state == STATE_FAILED ? -1 : 0;
    if (state == STATE_NEW && disk.size < 2 * HEADER_SIZE)
        status = failed(failure, "smaller than 32 MiB; nothing is changed");
    else if (state == STATE_NEW)
        status = crypto_make_luks(wish, &disk, failure);
    close(disk.descriptor);
    unlink(HEADER);
    if (state != STATE_OURS)
        return status;
    if (crypto_open_luks(wish, NULL, failure) < 0)
        return -1;
    status = crypto_fill(wish, false, failure);
    if (status < 0)
        crypto_close(wish);
    return status;
}

static int crypto_run_plain(const struct wish *wish, struct failure *failure)
{
    struct disk disk;
    if (disk_open(&disk, wish->device, O_RDONLY, failure) < 0)
        return -1;
    enum state state = crypto_state(wish, &disk, failure);
    bool small = disk.size < 2 << 20;
    close(disk.descriptor);
    if (state == STATE_FAILED)
        return -1;
    if (small)
        return failed(failure, "smaller than 2 MiB; nothing is changed");
    if (crypto_open_plain(wish, failure) < 0)
        return -1;
    int status = crypto_fill(wish, state == STATE_NEW, failure);
    if (status < 0)
        crypto_close(wish);
    return status;
}

static int crypto_run(const struct wish *wish, struct failure *failure)
{
    struct disk disk;
    char node[BLOCK_PATH];
    snprintf(node, sizeof node, MAPPER "%s", wish->name);
    if (access(wish->key, R_OK) < 0)
        return failed_errno(failure, "%s", wish->key);
    if (access(node, F_OK) == 0)
        return failed(failure, "%s is there already", node);
    /* Alone once: nobody may have it mounted, or open already. */
    if (block_wait(wish->device, failure) < 0 ||
        disk_open(&disk, wish->device, O_RDWR | O_EXCL, failure) < 0)
        return -1;
    close(disk.descriptor);
    return wish->luks ? crypto_run_luks(wish, failure) : crypto_run_plain(wish, failure);
}

int main(int count, char *arguments[])
{
    struct wish wish = {.key = "key"};
    struct failure failure;
    char key[BLOCK_PATH];
    int option;
    while ((option = getopt(count, arguments, "lk:h")) != -1) {
        if (option == 'l')
            wish.luks = true;
        else if (option == 'k')
            wish.key = optarg;
        else
            optind = count;
    }
    if (count - optind != 2) {
        crypto_say("usage: crypto [-l] [-k KEYFILE] NAME DEVICE");
        return 2;
    }
    wish.name = arguments[optind];
    wish.device = arguments[optind + 1];
    if (*wish.key != '/') {
        snprintf(key, sizeof key, KEYS "/%s", wish.key);
        wish.key = key;
    }
    if (crypto_run(&wish, &failure) < 0) {
        crypto_say("%s: %s", wish.device, failure.text);
        return 1;
    }
    crypto_say("%s is " MAPPER "%s", wish.device, wish.name);
    return 0;
}
