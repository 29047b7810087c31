/* disc.c: see disc.h. */
#include "disc.h"

#include "disc_files.h"
#include "report.h"
#include "volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICES "/sys/class/block"
#define MOUNT_POINT "/tmp/metadata"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256
#endif

/* NoCloud's, OpenStack's, and that of `compos metadata create`. */
static const char *const disc_labels[] = {"cidata", "config-2", "config"};

static bool disc_has_label(const char *label)
{
    for (size_t i = 0; i < sizeof disc_labels / sizeof *disc_labels; i++)
        if (strcasecmp(label, disc_labels[i]) == 0)
            return true;
    return false;
}

static bool disc_read_mounted(const char *path, struct result *result)
{
    char name[96];
    int folder = open(MOUNT_POINT, O_PATH | O_DIRECTORY | O_CLOEXEC);
    snprintf(name, sizeof name, "CDROM %s", path);
    bool found = folder >= 0 && disc_files_read(folder, name, result);
    if (folder >= 0)
        close(folder);
    return found;
}

static bool disc_read(const char *path, const char *type, struct result *result)
{
    /* Whoever made it must not lead us anywhere. */
    const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOSYMFOLLOW;
    if (mkdir(MOUNT_POINT, 0700) < 0 && errno != EEXIST) {
        report(MOUNT_POINT ": %s", strerror(errno));
        return false;
    }
    if (mount(path, MOUNT_POINT, type, flags, NULL) < 0) {
        report("%s: mounting it as %s: %s", path, type, strerror(errno));
        return false;
    }
    bool found = disc_read_mounted(path, result);
    umount2(MOUNT_POINT, MNT_DETACH);
    return found;
}

/* `labelled`: only a disc with one of the labels; otherwise only a CD without. */
static bool disc_try(const char *name, bool labelled, struct result *result)
{
    char path[64], label[64] = "";
    bool drive = strncmp(name, "sr", 2) == 0;
    if (strncmp(name, "loop", 4) == 0 || strncmp(name, "ram", 3) == 0 || (!labelled && !drive) ||
        (size_t)snprintf(path, sizeof path, "/dev/%s", name) >= sizeof path)
        return false;
    int device = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (device < 0)
        return false;
    const char *type = volume_type(device, label, sizeof label);
    close(device);
    if (!type || disc_has_label(label) != labelled)
        return false;
    report_detail("%s: %s, labelled '%s'", path, type, label);
    return disc_read(path, type, result);
}

bool disc_find(const struct search *search, struct result *result)
{
    struct dirent **entries;
    bool found = false;
    (void)search;
    /* Sorted, so that two discs are always found in one order. */
    int count = scandir(DEVICES, &entries, NULL, alphasort);
    if (count < 0) {
        report(DEVICES ": %s", strerror(errno));
        return false;
    }
    for (int labelled = 1; labelled >= 0; labelled--)
        for (int i = 0; i < count && !found; i++)
            if (entries[i]->d_name[0] != '.')
                found = disc_try(entries[i]->d_name, labelled, result);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return found;
}
