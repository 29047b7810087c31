/* config.c: see config.h. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/run/config"
#define PARTIAL ".partial"

enum { DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

int config_open(struct failure *failure)
{
    if (mkdir(FOLDER, 0755) < 0 && errno != EEXIST)
        return failed_errno(failure, FOLDER);
    int folder = open(FOLDER, DIRECTORY_FLAGS);
    return folder < 0 ? failed_errno(failure, FOLDER) : folder;
}

static bool config_is_component(const char *name)
{
    return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strchr(name, '/') &&
           strlen(name) <= 255 && strcmp(name, PARTIAL) != 0;
}

int config_directory(int parent, const char *name, struct failure *failure)
{
    if (!config_is_component(name))
        return failed(failure, "'%.64s' is not a file name", name);
    if (mkdirat(parent, name, 0700) < 0 && errno != EEXIST)
        return failed_errno(failure, "%s", name);
    int folder = openat(parent, name, DIRECTORY_FLAGS);
    if (folder < 0)
        return failed_errno(failure, "%s", name);
    if (fchmod(folder, 0700) == 0)
        return folder;
    failed_errno(failure, "%s", name);
    close(folder);
    return -1;
}

int config_close(int folder, mode_t mode, struct failure *failure)
{
    int done = fchmod(folder, mode) < 0 ? failed_errno(failure, "mode %o", mode) : 0;
    close(folder);
    return done;
}

static int config_fill(int file, const char *bytes, size_t length, mode_t mode)
{
    while (length > 0) {
        ssize_t written = write(file, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return fchmod(file, mode);
}

int config_write(int parent, const char *name, const char *bytes, size_t length, mode_t mode,
                 struct failure *failure)
{
    if (!config_is_component(name))
        return failed(failure, "'%.64s' is not a file name", name);
    /* What a killed run left behind must not be followed or appended to. */
    unlinkat(parent, PARTIAL, 0);
    int file = openat(parent, PARTIAL, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int done = file < 0 ? -1 : config_fill(file, bytes, length, mode);
    if (done == 0)
        done = renameat(parent, PARTIAL, parent, name);
    if (done < 0) {
        failed_errno(failure, "%s", name);
        unlinkat(parent, PARTIAL, 0);
    }
    if (file >= 0)
        close(file);
    return done;
}
