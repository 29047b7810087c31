/* finder.c: see finder.h. */
#include "machine/finder.h"

#include "base/console.h"
#include "base/failure.h"
#include "base/files.h"
#include "machine/coldplug.h"
#include "machine/mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DESCRIPTION "/etc/compos/root"
#define TARGET "/root"

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

struct root_description {
    const char *filesystem;
    unsigned char mark[MARK_SIZE]; /* these bytes stand there at `mark_at`, whatever device it is */
    size_t mark_size;
    unsigned long long mark_at;
    struct root_place places[PLACES];
    size_t place_count;
    const char *modules[MODULES];
    size_t module_count;
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

static void finder_read_line(struct root_description *wanted, char *line)
{
    char *fields[3] = {line, NULL, NULL};
    for (size_t i = 1; i < 3 && fields[i - 1] && (fields[i] = strchr(fields[i - 1], '\t')); i++)
        *fields[i]++ = '\0';
    if (!fields[1])
        return;
    if (strcmp(line, "filesystem") == 0)
        wanted->filesystem = fields[1];
    else if (strcmp(line, "module") == 0 && wanted->module_count < MODULES)
        wanted->modules[wanted->module_count++] = fields[1];
    else if (strcmp(line, "mark") == 0 && fields[2]) {
        wanted->mark_at = strtoull(fields[1], NULL, 10);
        wanted->mark_size = finder_read_hex(fields[2], wanted->mark, MARK_SIZE);
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
    return wanted->filesystem && wanted->mark_size > 0 && wanted->place_count > 0 ? 0 : -1;
}

/* Whether the root begins at `place` of an open device. */
static bool finder_is_there(int device, const struct root_description *wanted,
                            const struct root_place *place)
{
    unsigned char bytes[MARK_SIZE];
    ssize_t length =
        pread(device, bytes, wanted->mark_size, (off_t)(place->offset + wanted->mark_at));
    return length == (ssize_t)wanted->mark_size &&
           memcmp(bytes, wanted->mark, wanted->mark_size) == 0;
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
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    if (control >= 0)
        close(control);
    if (number < 0)
        return -1;
    snprintf(path, size, "/dev/loop%d", number);
    int loop = open(path, O_RDONLY | O_CLOEXEC);
    if (loop < 0)
        return -1;
    if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
        return loop;
    int reason = errno;
    close(loop);
    errno = reason;
    return -1;
}

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
    int result = mount(source, TARGET, wanted->filesystem, MS_RDONLY, NULL);
    if (result < 0)
        failed_errno(&failure, "root: %s: %s", path, wanted->filesystem);
    if (loop >= 0)
        close(loop);
    if (result < 0) {
        say("%s", failure.text);
        return -1;
    }
    say("root: %s on %s", wanted->filesystem, path);
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
        if (finder_is_there(device, wanted, &wanted->places[i]))
            result = finder_mount_root(path, device, wanted, &wanted->places[i]);
    close(device);
    return result;
}

/* Tries every block device; their names go to `seen`, for a message. */
static int finder_try_all(const struct root_description *wanted, char *seen, size_t size)
{
    int result = -1;
    *seen = '\0';
    DIR *folder = opendir("/sys/class/block");
    if (!folder)
        return -1;
    for (const struct dirent *entry; result < 0 && (entry = readdir(folder)) != NULL;) {
        const char *name = entry->d_name;
        if (*name == '.' || strncmp(name, "loop", 4) == 0 || strncmp(name, "ram", 3) == 0)
            continue;
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

/* Drivers come with the devices; a disk behind a slow bus shows up seconds later. */
static void finder_find(const struct root_description *wanted)
{
    static const struct timespec interval = {.tv_nsec = PAUSE_MILLISECONDS * 1000000L};
    const unsigned report_interval = REPORT_SECONDS * 1000 / PAUSE_MILLISECONDS;
    struct failure failure;
    char seen[512];
    for (size_t i = 0; i < wanted->module_count; i++)
        coldplug_load_module(wanted->modules[i], &failure);
    if (coldplug_quick(&failure) == 0 && finder_try_all(wanted, seen, sizeof seen) == 0)
        return;
    for (unsigned tries = 1;; tries++) {
        if (coldplug(&failure) < 0)
            say("%s", failure.text);
        if (finder_try_all(wanted, seen, sizeof seen) == 0)
            return;
        if (tries % report_interval == 0)
            say("root: no device has this system's root; there are:%s",
                *seen ? seen : " none (no driver for this machine's disks?)");
        nanosleep(&interval, NULL);
    }
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
    finder_find(&wanted);
    finder_enter();
    for (;;)
        pause();
}
