/* finder.c: see finder.h. */
#include "machine/finder.h"

#include "base/console.h"
#include "base/failure.h"
#include "base/files.h"
#include "base/loop.h"
#include "machine/coldplug.h"
#include "machine/extra.h"
#include "machine/measure.h"
#include "machine/mount.h"
#include "machine/opener.h"
#include "machine/verity.h"
#include "slots/trial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTION "/etc/compos/root"
#define TARGET "/root"
#define RUN "/run"
#define DEVICES "/sys/class/block"
/* Tells the init of the root that it is to leave the initrd. */
#define STAYED "COMPOS_IN_INITRD"

enum {
    MAX_DESCRIPTION = 4096,
    MARK_SIZE = 32,
    PLACES = 4,
    MODULES = 16,
    PAUSE_MILLISECONDS = 50,
    REPORT_SECONDS = 20
};

/* Part of a whole device that may be the root; a size of 0 means all of it. */
struct root_place {
    unsigned long long offset;
    unsigned long long size;
};

/* Bytes at an offset by which something is known, whatever device it is on. */
struct root_mark {
    unsigned char bytes[MARK_SIZE];
    size_t size;
    unsigned long long at;
};

struct root_description {
    const char *filesystem;
    struct root_mark mark;
    struct root_place places[PLACES];
    size_t place_count;
    const char *modules[MODULES];
    size_t module_count;
    bool stays;       /* the system unseals, and leaves the initrd when it has done so */
    bool is_sealed;   /* the slots' roots are encrypted, where an installer has made them so */
    bool asks;        /* for the recovery key */
    bool is_verified; /* the file system is mounted through its hash tree, or not at all */
    struct verity verity;
    struct root_mark tree; /* of the tree's own device; without one, it is on the root's */
};

static size_t finder_read_hex(const char *text, unsigned char *bytes, size_t limit)
{
    size_t size = 0;
    unsigned value;
    for (; size < limit && sscanf(text + 2 * size, "%2x", &value) == 1 && text[2 * size + 1];
         size++)
        bytes[size] = (unsigned char)value;
    return size;
}

static void finder_read_mark(struct root_mark *mark, const char *offset, const char *bytes)
{
    mark->at = strtoull(offset, NULL, 10);
    mark->size = finder_read_hex(bytes, mark->bytes, MARK_SIZE);
}

static void finder_read_line(struct root_description *wanted, char *line)
{
    char *fields[3] = {line, NULL, NULL};
    for (size_t i = 1; i < 3 && fields[i - 1] && (fields[i] = strchr(fields[i - 1], '\t')); i++)
        *fields[i]++ = '\0';
    if (strcmp(line, "unseal") == 0)
        wanted->stays = true;
    if (!fields[1])
        return;
    if (strcmp(line, "sealed") == 0) {
        wanted->is_sealed = true;
        wanted->asks = strcmp(fields[1], "ask") == 0;
    } else if (strcmp(line, "filesystem") == 0)
        wanted->filesystem = fields[1];
    else if (strcmp(line, "verified") == 0) {
        wanted->filesystem = fields[1];
        wanted->is_verified = true;
    } else if (strcmp(line, "module") == 0 && wanted->module_count < MODULES)
        wanted->modules[wanted->module_count++] = fields[1];
    else if (strcmp(line, "mark") == 0 && fields[2])
        finder_read_mark(&wanted->mark, fields[1], fields[2]);
    else if (strcmp(line, "tree") == 0 && fields[2])
        finder_read_mark(&wanted->tree, fields[1], fields[2]);
    else if (strcmp(line, "verity") == 0 && fields[2]) {
        wanted->verity.blocks = strtoull(fields[1], NULL, 10);
        wanted->verity.start = strtoull(fields[2], NULL, 10);
    } else if (strcmp(line, "correction") == 0 && fields[2]) {
        wanted->verity.correction = strtoull(fields[1], NULL, 10);
        wanted->verity.corrected = strtoull(fields[2], NULL, 10);
    } else if (strcmp(line, "roothash") == 0 && fields[2]) {
        wanted->verity.root = fields[1];
        wanted->verity.salt = fields[2];
    } else if (strcmp(line, "place") == 0 && fields[2] && wanted->place_count < PLACES)
        wanted->places[wanted->place_count++] = (struct root_place){
            .offset = strtoull(fields[1], NULL, 10), .size = strtoull(fields[2], NULL, 10)};
}

/* The description points into `text`. -1 when it is not usable. */
static int finder_read_description(struct root_description *wanted, char *text)
{
    *wanted = (struct root_description){0};
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        finder_read_line(wanted, line);
    }
    bool checked = !wanted->is_verified || (wanted->verity.blocks > 0 && wanted->verity.root);
    return wanted->filesystem && wanted->mark.size > 0 && wanted->place_count > 0 && checked ? 0
                                                                                             : -1;
}

/* Whether an open device has a mark, counted from `offset`. */
static bool finder_has_mark(int device, const struct root_mark *mark, unsigned long long offset)
{
    unsigned char bytes[MARK_SIZE];
    ssize_t length = pread(device, bytes, mark->size, (off_t)(offset + mark->at));
    return length == (ssize_t)mark->size && memcmp(bytes, mark->bytes, mark->size) == 0;
}

static bool finder_device_has_mark(const char *path, const struct root_mark *mark)
{
    int device = open(path, O_RDONLY | O_CLOEXEC);
    bool found = device >= 0 && finder_has_mark(device, mark, 0);
    if (device >= 0)
        close(device);
    return found;
}

/* Whether what is encrypted has been opened: then mappings are there that may have the root. */
static bool finder_has_opened;

/* The next of all block devices that can have a root: its name, or NULL. */
static const char *finder_next_device(DIR *folder)
{
    const struct dirent *entry;
    while ((entry = readdir(folder)) != NULL) {
        const char *name = entry->d_name;
        if (*name != '.' && strncmp(name, "loop", 4) != 0 && strncmp(name, "ram", 3) != 0 &&
            (finder_has_opened || strncmp(name, "dm-", 3) != 0))
            return name;
    }
    return NULL;
}

/*
 * A loop device over part of `device`, and its path. The kernel lets it go when neither this
 * descriptor nor a mount has it any more. -1 with errno.
 */
static int finder_loop_over(int device, const struct root_place *place, char *path, size_t size)
{
    struct loop_config config = {
        .fd = (unsigned)device,
        .block_size = 512,
        .info = {.lo_offset = place->offset,
                 .lo_sizelimit = place->size,
                 .lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR},
    };
    return loop_attach(&config, O_RDONLY, path, size);
}

static int finder_mount_plain(const char *source, const struct root_description *wanted,
                              struct failure *failure)
{
    if (mount(source, TARGET, wanted->filesystem, MS_RDONLY, NULL) < 0)
        return failed_errno(failure, "%s", wanted->filesystem);
    return 0;
}

static int finder_mount_verified(const char *source, const char *tree,
                                 const struct root_description *wanted, struct failure *failure)
{
    char checked[64];
    if (verity_open(source, tree, &wanted->verity, checked, sizeof checked, failure) < 0)
        return -1;
    if (finder_mount_plain(checked, wanted, failure) == 0)
        return 0;
    verity_close();
    return -1;
}

/* Several devices may have the tree, such as a copy of the disk: not all of them need be whole. */
static int finder_mount_with_tree(const char *source, const struct root_description *wanted,
                                  struct failure *failure)
{
    int result = failed(failure, "verity: no device has the hash tree");
    DIR *folder = opendir(DEVICES);
    if (!folder)
        return failed_errno(failure, DEVICES);
    for (const char *name; result < 0 && (name = finder_next_device(folder)) != NULL;) {
        char path[300];
        snprintf(path, sizeof path, "/dev/%s", name);
        if (finder_device_has_mark(path, &wanted->tree))
            result = finder_mount_verified(source, path, wanted, failure);
    }
    closedir(folder);
    return result;
}

/* Mounts `source`, through its hash tree if it has one. */
static int finder_mount_source(const char *source, const struct root_description *wanted,
                               struct failure *failure)
{
    if (!wanted->is_verified)
        return finder_mount_plain(source, wanted, failure);
    return wanted->tree.size > 0 ? finder_mount_with_tree(source, wanted, failure)
                                 : finder_mount_verified(source, source, wanted, failure);
}

/* What was last wrong with a device that has the root. */
static char finder_reason[256];

static int finder_mount_root(const char *path, int device, const struct root_description *wanted,
                             const struct root_place *place)
{
    struct failure failure;
    char name[64];
    const char *source = path;
    int loop = -1;
    if (place->offset > 0) {
        loop = finder_loop_over(device, place, name, sizeof name);
        if (loop < 0) {
            failed_errno(&failure, "root: %s: loop device", path);
            say("%s", failure.text);
            return -1;
        }
        source = name;
    }
    int result = finder_mount_source(source, wanted, &failure);
    if (loop >= 0)
        close(loop);
    if (result < 0) {
        say("root: %s: %s", path, failure.text);
        snprintf(finder_reason, sizeof finder_reason, "%.64s: %.160s", path, failure.text);
        return -1;
    }
    say("root: %s on %s%s", wanted->filesystem, path, wanted->is_verified ? ", verified" : "");
    return 0;
}

/* Mounts the root if it is on this block device; -1 when it is not. */
static int finder_try_device(const char *name, const struct root_description *wanted)
{
    char path[300];
    snprintf(path, sizeof path, "/dev/%s", name);
    int device = open(path, O_RDONLY | O_CLOEXEC);
    int result = -1;
    if (device < 0)
        return -1;
    for (size_t i = 0; i < wanted->place_count && result < 0; i++)
        if (finder_has_mark(device, &wanted->mark, wanted->places[i].offset))
            result = finder_mount_root(path, device, wanted, &wanted->places[i]);
    close(device);
    return result;
}

/* Tries every block device; their names go to `seen`, for a message. */
static int finder_try_all(const struct root_description *wanted, char *seen, size_t size)
{
    int result = -1;
    *seen = '\0';
    DIR *folder = opendir(DEVICES);
    if (!folder)
        return -1;
    for (const char *name; result < 0 && (name = finder_next_device(folder)) != NULL;) {
        size_t length = strlen(seen);
        snprintf(seen + length, size - length, " %s", name);
        result = finder_try_device(name, wanted);
    }
    closedir(folder);
    return result;
}

static void finder_mount_basics(void)
{
    static const char *const basics[][2] = {
        {"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}};
    for (size_t i = 0; i < sizeof basics / sizeof *basics; i++) {
        mkdir(basics[i][1], 0755);
        mount(basics[i][0], basics[i][1], basics[i][0], MS_NOSUID | MS_NOEXEC, NULL);
    }
    mkdir(TARGET, 0755);
}

/* The first phase is measured before any other driver runs. Most kernels have these built in. */
static void finder_load_tpms(void)
{
    static const char *const names[] = {"tpm_tis", "tpm_crb"};
    struct failure failure;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        coldplug_load_module(names[i], &failure);
}

static time_t finder_seconds(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

/* A system whose root does not open is not started. */
static void finder_refuse(void)
{
    static const char reason[] = "the TPM does not release its key";
    trial_lose_root(reason);
    say("root: it stays closed; the system is not started");
    sync();
    reboot((int)RB_HALT_SYSTEM);
}

/* Whether the root can be looked for: if it is encrypted, it is open. */
static bool finder_open(const struct root_description *wanted)
{
    if (!wanted->is_sealed || finder_has_opened)
        return true;
    /* On trial, nobody waits at the console, and the other version must still open its root. */
    bool on_trial = trial_runs();
    enum opened opened = opener_open(wanted->asks && !on_trial, !on_trial);
    if (opened == OPENER_REFUSED)
        finder_refuse();
    finder_has_opened = opened == OPENER_OPENED;
    return finder_has_opened;
}

/* Looks everywhere, as far as it can be looked for yet. */
static int finder_look(const struct root_description *wanted, char *seen, size_t size)
{
    *seen = '\0';
    return finder_open(wanted) ? finder_try_all(wanted, seen, size) : -1;
}

/*
 * Drivers come with the devices; a disk behind a slow bus shows up seconds later. Reports go by the
 * clock: how long it takes to look everywhere depends on the machine.
 */
static void finder_find(const struct root_description *wanted)
{
    static const struct timespec interval = {.tv_nsec = PAUSE_MILLISECONDS * 1000000L};
    struct failure failure;
    char seen[512];
    for (size_t i = 0; i < wanted->module_count; i++)
        if (coldplug_load_module(wanted->modules[i], &failure) < 0 && wanted->is_verified)
            say("root: %s", failure.text);
    if (coldplug_quick(&failure) == 0 && finder_look(wanted, seen, sizeof seen) == 0)
        return;
    for (time_t reported = finder_seconds();;) {
        if (coldplug(&failure) < 0)
            say("%s", failure.text);
        if (finder_look(wanted, seen, sizeof seen) == 0)
            return;
        if (finder_seconds() - reported >= REPORT_SECONDS) {
            say("root: no device has this system's root; there are:%s",
                *seen ? seen : " none (no driver for this machine's disks?)");
            reported = finder_seconds();
        }
        trial_miss_root(finder_reason);
        nanosleep(&interval, NULL);
    }
}

/* The stub's files are in this root; the next init takes them from there. */
static void finder_pass_on(void)
{
    if (mount("tmpfs", TARGET RUN, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755") == 0)
        extra_provide(TARGET RUN);
}

/* The new root over the old one, whose files give their memory back. */
static void finder_enter(void)
{
    static const char *const inits[] = {"/init", "/sbin/init"};
    static const char *const basics[] = {"/dev", "/proc", "/sys"};
    struct failure failure;
    for (size_t i = 0; i < sizeof basics / sizeof *basics; i++)
        umount2(basics[i], MNT_DETACH);
    directory_empty("/lib");
    finder_pass_on();
    if (chdir(TARGET) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
        chdir("/") < 0) {
        failed_errno(&failure, "root: move");
        say("%s", failure.text);
        return;
    }
    for (size_t i = 0; i < sizeof inits / sizeof *inits; i++)
        execl(inits[i], inits[i], (char *)NULL);
    failed_errno(&failure, "root: no init in it");
    say("%s", failure.text);
}

bool finder_has_stayed(void)
{
    bool stayed = getenv(STAYED) != NULL;
    unsetenv(STAYED);
    return stayed;
}

void finder(void)
{
    struct root_description wanted;
    size_t length = 0;
    char *text = file_read(DESCRIPTION, MAX_DESCRIPTION, &length);
    if (!text)
        return;
    finder_mount_basics();
    console_open();
    if (finder_read_description(&wanted, text) < 0) {
        say(DESCRIPTION ": not a description of a root");
        free(text);
        return;
    }
    extra_take(RUN);
    extra_provide(RUN);
    finder_load_tpms();
    trial_enter_initrd();
    measure_phase("enter-initrd");
    finder_find(&wanted);
    /* Only a root whose every byte is verified may still be in the initrd. */
    if (wanted.stays && wanted.is_verified)
        setenv(STAYED, "1", 1);
    else
        measure_phase("leave-initrd");
    finder_enter();
    for (;;)
        pause();
}
