/*
 * extra.c: see extra.h.
 *
 * Sources: systemd-stub(7) (names below /.extra), systemd-cryptsetup(8) and systemd-cryptenroll(1)
 * (names in /run/systemd).
 */
#include "machine/extra.h"

#include "base/console.h"
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FILES = 2, MAX_EXTRA = 64 << 10 };

static const char *const extra_names[FILES] = {"tpm2-pcr-signature.json",
                                               "tpm2-pcr-public-key.pem"};

static char *extra_contents[FILES];
static size_t extra_sizes[FILES];

void extra_take(const char *run)
{
    char path[PATH_SIZE];
    for (size_t i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "/.extra/%s", extra_names[i]);
        char *bytes = file_read(path, MAX_EXTRA, &extra_sizes[i]);
        if (!bytes) {
            snprintf(path, sizeof path, "%s/systemd/%s", run, extra_names[i]);
            bytes = file_read(path, MAX_EXTRA, &extra_sizes[i]);
        }
        extra_contents[i] = bytes;
    }
}

static int extra_write(const char *path, const char *bytes, size_t size)
{
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);
    if (file < 0)
        return errno == EEXIST ? 0 : -1;
    ssize_t written = write(file, bytes, size);
    close(file);
    return written == (ssize_t)size ? 0 : -1;
}

void extra_provide(const char *run)
{
    char path[PATH_SIZE];
    for (size_t i = 0; i < FILES; i++) {
        if (!extra_contents[i])
            continue;
        snprintf(path, sizeof path, "%s/systemd/%s", run, extra_names[i]);
        if (directory_make_parents(path) < 0 ||
            extra_write(path, extra_contents[i], extra_sizes[i]) < 0)
            say("%s: %s", path, strerror(errno));
    }
}
