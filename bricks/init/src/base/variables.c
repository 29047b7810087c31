/* variables.c: see variables.h. */
#include "base/variables.h"

#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NON_VOLATILE = 1,
    BOOTSERVICE_ACCESS = 2,
    RUNTIME_ACCESS = 4,
    TIME_BASED_AUTHENTICATED_WRITE_ACCESS = 0x20,
    ATTRIBUTES = NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS
};

const char *variables_folder = "/sys/firmware/efi/efivars";

static void variables_path(char *path, size_t size, const char *name, const char *vendor)
{
    snprintf(path, size, "%s/%s-%s", variables_folder, name, vendor);
}

/* The kernel protects most variables against rm -r by a flag. Other file systems have no flags. */
static void variables_release(const char *path)
{
    int flags = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    if (ioctl(file, (int)FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_IMMUTABLE_FL) {
        flags &= ~FS_IMMUTABLE_FL;
        ioctl(file, (int)FS_IOC_SETFLAGS, &flags);
    }
    close(file);
}

ssize_t variables_read(const char *name, const char *vendor, void *bytes, size_t size)
{
    char path[PATH_SIZE], more;
    uint32_t attributes;
    variables_path(path, sizeof path, name, vendor);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t length = file_fill(file, (char *)&attributes, sizeof attributes);
    if (length >= 0 && length < (ssize_t)sizeof attributes) {
        errno = ENODATA;
        length = -1;
    }
    if (length >= 0)
        length = file_fill(file, bytes, size);
    if (length == (ssize_t)size && file_fill(file, &more, 1) > 0) {
        errno = EFBIG;
        length = -1;
    }
    int reason = errno;
    close(file);
    errno = reason;
    return length;
}

/* Firmware gets what one call of write(2) has, whole. */
static int variables_put(const char *path, const char *contents, size_t size)
{
    variables_release(path);
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file < 0)
        return -1;
    ssize_t length = write(file, contents, size);
    int reason = errno;
    struct stat status;
    /* Firmware replaces contents of any length; in other file systems there may be a rest. */
    if (fstat(file, &status) == 0 && status.st_size > length && length > 0)
        (void)!ftruncate(file, length);
    close(file);
    errno = reason;
    return length == (ssize_t)size ? 0 : -1;
}

static int variables_set(const char *name, const char *vendor, uint32_t attributes,
                         const void *bytes, size_t size)
{
    char path[PATH_SIZE];
    if (size > VARIABLES_LIMIT) {
        errno = EFBIG;
        return -1;
    }
    char *contents = malloc(sizeof attributes + size);
    if (!contents)
        return -1;
    memcpy(contents, &attributes, sizeof attributes);
    memcpy(contents + sizeof attributes, bytes, size);
    variables_path(path, sizeof path, name, vendor);
    int status = variables_put(path, contents, sizeof attributes + size);
    int reason = errno;
    free(contents);
    errno = reason;
    return status;
}

int variables_write(const char *name, const char *vendor, const void *bytes, size_t size)
{
    return variables_set(name, vendor, ATTRIBUTES, bytes, size);
}

int variables_update(const char *name, const char *vendor, const void *bytes, size_t size)
{
    return variables_set(name, vendor, ATTRIBUTES | TIME_BASED_AUTHENTICATED_WRITE_ACCESS, bytes,
                         size);
}

int variables_remove(const char *name, const char *vendor)
{
    char path[PATH_SIZE];
    variables_path(path, sizeof path, name, vendor);
    variables_release(path);
    return unlink(path) == 0 || errno == ENOENT ? 0 : -1;
}
