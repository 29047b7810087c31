/* keep.c: see keep.h. */
#include "base/keep.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int keep_write(int folder, const char *name, const char *text)
{
    int file = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (file < 0)
        return -1;
    size_t length = strlen(text);
    bool written = write(file, text, length) == (ssize_t)length && fsync(file) == 0;
    return close(file) == 0 && written ? 0 : -1;
}

int keep_replace(const char *folder, const char *name, const char *text)
{
    char partial[256];
    snprintf(partial, sizeof partial, "%s.new", name);
    int directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -1;
    int result = keep_write(directory, partial, text);
    if (result == 0)
        result = renameat(directory, partial, directory, name);
    if (result == 0)
        result = fsync(directory);
    close(directory);
    return result;
}
