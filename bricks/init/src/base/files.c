/* files.c: see files.h. */
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t file_fill(int file, char *buffer, size_t size)
{
    size_t length = 0;
    while (length < size) {
        ssize_t count = read(file, buffer + length, size - length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return -1;
        if (count == 0)
            break;
        length += (size_t)count;
    }
    return (ssize_t)length;
}

char *file_read(const char *path, size_t limit, size_t *length)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return NULL;
    struct stat status;
    char *bytes = NULL;
    ssize_t count = -1;
    if (fstat(file, &status) == 0) {
        /* Files in /proc say 0. */
        size_t size = status.st_size > 0 ? (size_t)status.st_size : 65536;
        if (size > limit)
            errno = EFBIG;
        else if ((bytes = malloc(size + 1)) != NULL)
            count = file_fill(file, bytes, size);
    }
    int reason = errno;
    close(file);
    if (count < 0) {
        free(bytes);
        errno = reason;
        return NULL;
    }
    bytes[count] = '\0';
    *length = (size_t)count;
    return bytes;
}

int file_line(const char *path, char *line, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t count = file_fill(file, line, size - 1);
    close(file);
    if (count < 0)
        return -1;
    line[count] = '\0';
    size_t begin = strspn(line, " \t\r\n");
    size_t end = strlen(line);
    while (end > begin && strchr(" \t\r\n", line[end - 1]))
        end--;
    memmove(line, line + begin, end - begin);
    line[end - begin] = '\0';
    return 0;
}

static int files_make_components(char *path)
{
    for (char *slash = path; (slash = strchr(slash + 1, '/')) != NULL;) {
        *slash = '\0';
        int made = mkdir(path, 0755);
        *slash = '/';
        /* A read-only place that already has the directory says EROFS. */
        if (made < 0 && errno != EEXIST && errno != EROFS)
            return -1;
    }
    return 0;
}

int directory_make_parents(const char *path)
{
    char copy[PATH_SIZE];
    if (strlen(path) >= sizeof copy) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(copy, path);
    return files_make_components(copy);
}

int directory_make(const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0) {
        errno = ENOTDIR;
        return S_ISDIR(status.st_mode) ? 0 : -1;
    }
    if (directory_make_parents(path) < 0)
        return -1;
    return mkdir(path, 0755) < 0 && errno != EEXIST ? -1 : 0;
}

static int files_open_below(int root, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    return (int)syscall(SYS_openat2, root, path, &how, sizeof how);
}

/* The component `name` of `parent`, at `path` below `root`; made when missing. */
static int files_step_below(int root, int parent, const char *path, const char *name)
{
    int next = files_open_below(root, path);
    if (next >= 0 || errno != ENOENT || mkdirat(parent, name, 0755) < 0)
        return next;
    return files_open_below(root, path);
}

int directory_make_below(const char *root, const char *path)
{
    char copy[PATH_SIZE];
    if (strlen(path) >= sizeof copy) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(copy, path);
    int top = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (top < 0)
        return -1;
    int at = files_open_below(top, ".");
    for (char *name = copy; at >= 0 && *name;) {
        size_t length = strcspn(name, "/");
        char after = name[length];
        name[length] = '\0';
        int next = length == 0 ? dup(at) : files_step_below(top, at, copy, name);
        int reason = errno;
        close(at);
        errno = reason;
        at = next;
        name += length;
        if (after)
            *name++ = after;
    }
    int reason = errno;
    close(top);
    errno = reason;
    return at;
}

static int files_remove_one(const char *path, const struct stat *status, int type,
                            struct FTW *place)
{
    (void)status;
    (void)type;
    if (place->level > 0)
        remove(path);
    return 0;
}

void directory_empty(const char *path)
{
    enum { OPEN_FOLDERS = 16 };
    nftw(path, files_remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_MOUNT | FTW_PHYS);
}
