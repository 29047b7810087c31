/*
 * files_driver.c: `below ROOT PATH`, `make PATH`, `line PATH SIZE`, `read PATH LIMIT`: the calls of
 * files.h.
 */
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int print_below(const char *root, const char *path)
{
    char link[64], place[PATH_SIZE] = "";
    int directory = directory_make_below(root, path);
    if (directory < 0)
        return printf("error %s\n", strerror(errno));
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, place, sizeof place - 1);
    close(directory);
    return length < 0 ? -1 : printf("%s\n", place);
}

static int print_line(const char *path, size_t size)
{
    char *line = malloc(size);
    int result = file_line(path, line, size);
    if (result == 0)
        printf("<%s>\n", line);
    free(line);
    return result;
}

static int print_read(const char *path, size_t limit)
{
    size_t length = 0;
    char *text = file_read(path, limit, &length);
    if (text)
        printf("%zu\n", length);
    else
        printf("error %s\n", strerror(errno));
    free(text);
    return 0;
}

int main(int count, char *arguments[])
{
    if (count == 4 && strcmp(arguments[1], "below") == 0)
        return print_below(arguments[2], arguments[3]) < 0;
    if (count == 3 && strcmp(arguments[1], "make") == 0)
        return printf("%s\n", directory_make(arguments[2]) < 0 ? strerror(errno) : "made") < 0;
    if (count == 4 && strcmp(arguments[1], "line") == 0)
        return print_line(arguments[2], strtoul(arguments[3], NULL, 10)) < 0;
    if (count == 4 && strcmp(arguments[1], "read") == 0)
        return print_read(arguments[2], strtoul(arguments[3], NULL, 10)) < 0;
    return 2;
}
