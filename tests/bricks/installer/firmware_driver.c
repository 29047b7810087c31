/*
 * firmware_driver.c: what the installer does to a firmware whose variables are files of a folder,
 * each as large as its contents. In the environment: `ROOM`, bytes that one more variable may have;
 * `REFUSE`, the name of one that is refused; `LOSE`, of one that is taken and lost; `SECURE`, that
 * Secure Boot is enforced; `STAYS`, that setup mode does not end.
 *
 * As the specification has it, setup mode ends with PK, and an update that is not newer than what
 * is there is refused.
 */
#include "base/files.h"
#include "base/variables.h"
#include "disk/bytes.h"
#include "firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TIME_SIZE = 16 };

const char *variables_folder;

static void driver_path(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/%s", variables_folder, name);
}

static int driver_flag(uint8_t *flag, bool is_set)
{
    if (access(variables_folder, F_OK) < 0)
        return -1;
    *flag = is_set;
    return 1;
}

ssize_t variables_read(const char *name, const char *vendor, void *bytes, size_t size)
{
    char path[512];
    bool is_db = strcmp(name, "db") == 0;
    if (strcmp(vendor, is_db ? VARIABLES_SECURITY : VARIABLES_GLOBAL) != 0)
        abort();
    if (strcmp(name, "SecureBoot") == 0)
        return driver_flag(bytes, getenv("SECURE"));
    if (strcmp(name, "SetupMode") == 0) {
        driver_path(path, sizeof path, "PK");
        return driver_flag(bytes, getenv("STAYS") || access(path, F_OK) < 0);
    }
    driver_path(path, sizeof path, name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return -1;
    ssize_t length = file_fill(file, bytes, size);
    close(file);
    return length;
}

static bool driver_is_named(const char *variable, const char *name)
{
    const char *named = getenv(variable);
    return named && strcmp(named, name) == 0;
}

int variables_update(const char *name, const char *vendor, const void *bytes, size_t size)
{
    static char held[VARIABLES_LIMIT];
    char path[512];
    const uint8_t *update = bytes;
    const uint8_t *contents = update + TIME_SIZE + little32(update + TIME_SIZE);
    size_t length = size - (size_t)(contents - update);
    const char *room = getenv("ROOM");
    ssize_t before = variables_read(name, vendor, held, sizeof held);
    errno = room && (size_t)atol(room) < size ? ENOSPC : EACCES;
    if (errno == ENOSPC || driver_is_named("REFUSE", name) ||
        (before == (ssize_t)length && memcmp(held, contents, length) == 0))
        return -1;
    if (driver_is_named("LOSE", name))
        return 0;
    driver_path(path, sizeof path, name);
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || write(file, contents, length) != (ssize_t)length)
        abort();
    return close(file);
}

int main(int count, char *arguments[])
{
    static struct firmware firmware;
    struct failure failure;
    if (count != 3)
        return 3;
    variables_folder = arguments[2];
    if (firmware_look(&firmware, arguments[1], &failure) < 0) {
        puts(failure.text);
        return 1;
    }
    int status = firmware_enrol(&firmware, &failure);
    if (status < 0)
        puts(failure.text);
    for (size_t index = 0; index < FIRMWARE_KEYS; index++)
        free(firmware.keys[index].update);
    return status < 0 ? 2 : 0;
}
