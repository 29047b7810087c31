/* stick.c: see stick.h. */
#include "stick.h"

#include "base/files.h"
#include "engine.h"
#include "version.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define STICK_BLOCKS "/sys/class/block"
#define STICK_MOUNT ENGINE_FOLDER "/stick"
#define STICK_FLAGS (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)

enum { MAX_BUNDLES = 64, STICK_NAME = 256 };

struct stick_bundle {
    char path[PATH_SIZE], version[128];
};

static int stick_attribute(const char *block, const char *name, char *value, size_t size)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, STICK_BLOCKS "/%.255s/%s", block, name);
    return file_line(path, value, size);
}

/* Whether a disk or a partition of one can be taken away: by its own word, or as it is on USB. */
static bool stick_removable(const char *block)
{
    char path[PATH_SIZE], target[PATH_SIZE], value[32];
    snprintf(path, sizeof path, STICK_BLOCKS "/%.255s", block);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 0)
        return false;
    target[length] = '\0';
    if (strstr(target, "/virtual/"))
        return false;
    if (strstr(target, "/usb"))
        return true;
    bool part = stick_attribute(block, "partition", value, sizeof value) == 0;
    const char *name = part ? "../removable" : "removable";
    return stick_attribute(block, name, value, sizeof value) == 0 && strcmp(value, "1") == 0;
}

/* Whether it is a part of the disk that this system runs from: by the names of partitions. */
static bool stick_own(const char *block)
{
    static const char *const names[] = {"boot-a", "boot-b", "system-a", "system-b", "data"};
    char path[PATH_SIZE], *text;
    size_t length;
    bool own = false;
    snprintf(path, sizeof path, STICK_BLOCKS "/%.255s/uevent", block);
    text = file_read(path, 65536, &length);
    char *name = text ? strstr(text, "PARTNAME=") : NULL;
    for (size_t i = 0; name && i < sizeof names / sizeof *names; i++) {
        size_t count = strcspn(name + 9, "\n");
        own = own || (count == strlen(names[i]) && strncmp(name + 9, names[i], count) == 0);
    }
    free(text);
    return own;
}

/* Its number of bytes is not nothing: a reader without a card is there, too. */
static bool stick_filled(const char *block)
{
    char size[32];
    return stick_attribute(block, "size", size, sizeof size) == 0 && strcmp(size, "0") != 0;
}

uint64_t stick_present(void)
{
    struct dirent *entry;
    uint64_t sum = 0;
    char value[32];
    DIR *blocks = opendir(STICK_BLOCKS);
    while (blocks && (entry = readdir(blocks))) {
        if (*entry->d_name == '.' || !stick_removable(entry->d_name) ||
            !stick_filled(entry->d_name))
            continue;
        /* Counts every medium since the start, so that the same stick is another one again. */
        if (stick_attribute(entry->d_name, "diskseq", value, sizeof value) == 0)
            sum += 1 + strtoull(value, NULL, 10) * 1000003;
    }
    if (blocks)
        closedir(blocks);
    return sum;
}

/* Mounts what strangers may have made: to read files, nothing else. */
static int stick_mount(const char *block)
{
    static const char *const types[][2] = {
        {"vfat", ""}, {"exfat", ""}, {"ext4", "noload"}, {"iso9660", ""}};
    char device[STICK_NAME + 8];
    snprintf(device, sizeof device, "/dev/%.255s", block);
    /* A drive without a disc. */
    int medium = open(device, O_RDONLY | O_CLOEXEC);
    if (medium < 0)
        return -1;
    close(medium);
    mkdir(ENGINE_FOLDER, 0755);
    mkdir(STICK_MOUNT, 0755);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (mount(device, STICK_MOUNT, types[i][0], STICK_FLAGS, types[i][1]) == 0)
            return 0;
    return -1;
}

static bool stick_is_bundle(const char *name)
{
    size_t length = strlen(name);
    return *name != '.' && length > 6 && strcasecmp(name + length - 6, ".raucb") == 0;
}

static int stick_newest(const void *one, const void *other)
{
    return version_compare(((const struct stick_bundle *)other)->version,
                           ((const struct stick_bundle *)one)->version);
}

/* The bundles of what is mounted that are for this machine: how many. */
static int stick_bundles(const struct terms *own, bool newer, struct stick_bundle *bundles)
{
    struct dirent *entry;
    struct engine_bundle info;
    struct stat status;
    int count = 0;
    DIR *folder = opendir(STICK_MOUNT);
    while (folder && count < MAX_BUNDLES && (entry = readdir(folder))) {
        struct stick_bundle *bundle = &bundles[count];
        snprintf(bundle->path, sizeof bundle->path, STICK_MOUNT "/%s", entry->d_name);
        if (!stick_is_bundle(entry->d_name) || lstat(bundle->path, &status) < 0 ||
            !S_ISREG(status.st_mode) || engine_info(bundle->path, &info) < 0)
            continue;
        snprintf(bundle->version, sizeof bundle->version, "%s", info.version);
        if (strcmp(info.compatible, own->compatible) != 0 || !version_is(info.version) ||
            (newer && version_compare(info.version, own->version) <= 0))
            continue;
        count++;
    }
    if (folder)
        closedir(folder);
    qsort(bundles, (size_t)count, sizeof *bundles, stick_newest);
    return count;
}

static int stick_try(const char *block, const struct terms *own, bool newer,
                     int (*install)(const char *path))
{
    int result = -1;
    if (stick_mount(block) < 0)
        return -1;
    struct stick_bundle *bundles = calloc(MAX_BUNDLES, sizeof *bundles);
    int count = bundles ? stick_bundles(own, newer, bundles) : 0;
    printf("update: %s has %d update%s for this machine\n", block, count, count == 1 ? "" : "s");
    fflush(stdout);
    for (int i = 0; i < count && result < 0; i++)
        result = install(bundles[i].path);
    free(bundles);
    umount2(STICK_MOUNT, MNT_DETACH);
    return result;
}

int stick_install(const struct terms *own, bool newer, int (*install)(const char *path))
{
    struct dirent **blocks;
    int result = -1, count = scandir(STICK_BLOCKS, &blocks, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        const char *block = blocks[i]->d_name;
        if (result < 0 && *block != '.' && stick_removable(block) && stick_filled(block) &&
            !stick_own(block))
            result = stick_try(block, own, newer, install);
        free(blocks[i]);
    }
    if (count >= 0)
        free(blocks);
    return result;
}
