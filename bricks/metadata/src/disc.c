/* disc.c: see disc.h. */
#include "disc.h"

#include "disc_files.h"
#include "report.h"
#include "small_file.h"
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

/* Which volumes are looked at: those of a disk only by their labels. */
enum disc_choice { DISC_LABELLED, DISC_CD_WITHOUT_LABEL, DISC_CD };

/* What is done with a mounted volume; whether that was what was looked for. */
struct disc_reader {
    bool (*read)(int folder, const char *path, void *context);
    void *context;
};

static bool disc_read_mounted(const char *path, const struct disc_reader *reader)
{
    int folder = open(MOUNT_POINT, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool found = folder >= 0 && reader->read(folder, path, reader->context);
    if (folder >= 0)
        close(folder);
    return found;
}

static bool disc_read(const char *path, const char *type, const struct disc_reader *reader)
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
    bool found = disc_read_mounted(path, reader);
    umount2(MOUNT_POINT, MNT_DETACH);
    return found;
}

static bool disc_is_chosen(enum disc_choice choice, bool drive, bool labelled)
{
    if (choice == DISC_LABELLED)
        return labelled;
    return drive && (choice == DISC_CD || !labelled);
}

static bool disc_try(const char *name, enum disc_choice choice, const struct disc_reader *reader)
{
    char path[64], label[64] = "";
    bool drive = strncmp(name, "sr", 2) == 0;
    if (strncmp(name, "loop", 4) == 0 || strncmp(name, "ram", 3) == 0 ||
        (choice != DISC_LABELLED && !drive) ||
        (size_t)snprintf(path, sizeof path, "/dev/%s", name) >= sizeof path)
        return false;
    int device = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (device < 0)
        return false;
    const char *type = volume_type(device, label, sizeof label);
    close(device);
    if (!type || !disc_is_chosen(choice, drive, disc_has_label(label)))
        return false;
    report_detail("%s: %s, labelled '%s'", path, type, label);
    return disc_read(path, type, reader);
}

/* Reads volumes until one is what is looked for, first those of the first choice. */
static bool disc_visit(const enum disc_choice *choices, size_t choice_count,
                       const struct disc_reader *reader)
{
    struct dirent **entries;
    bool found = false;
    /* Sorted, so that two discs are always found in one order. */
    int count = scandir(DEVICES, &entries, NULL, alphasort);
    if (count < 0) {
        report(DEVICES ": %s", strerror(errno));
        return false;
    }
    for (size_t choice = 0; choice < choice_count; choice++)
        for (int i = 0; i < count && !found; i++)
            if (entries[i]->d_name[0] != '.')
                found = disc_try(entries[i]->d_name, choices[choice], reader);
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return found;
}

static bool disc_read_metadata(int folder, const char *path, void *context)
{
    char name[96];
    snprintf(name, sizeof name, "CDROM %s", path);
    return disc_files_read(folder, name, context);
}

bool disc_find(const struct search *search, struct result *result)
{
    static const enum disc_choice choices[] = {DISC_LABELLED, DISC_CD_WITHOUT_LABEL};
    (void)search;
    return disc_visit(choices, 2, &(struct disc_reader){disc_read_metadata, result});
}

struct disc_file {
    const char *name;
    size_t limit;
    size_t length;
    char *bytes;
};

static bool disc_read_one(int folder, const char *path, void *context)
{
    struct failure failure;
    struct disc_file *file = context;
    file->bytes = small_file_read(folder, file->name, file->limit, &file->length, &failure);
    if (!file->bytes && errno != ENOENT)
        report("%s: %s", path, failure.text);
    return file->bytes != NULL;
}

char *disc_read_file(const char *name, size_t limit, size_t *length)
{
    static const enum disc_choice choice = DISC_CD;
    struct disc_file file = {.name = name, .limit = limit};
    disc_visit(&choice, 1, &(struct disc_reader){disc_read_one, &file});
    *length = file.length;
    return file.bytes;
}
