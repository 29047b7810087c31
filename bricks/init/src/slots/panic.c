/* panic.c: see panic.h. */
#include "slots/panic.h"

#include "base/failure.h"
#include "base/files.h"
#include "machine/coldplug.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MESSAGE "Kernel panic - not syncing: "

enum { LIMIT = 1 << 20 };

const char *panic_folder = "/sys/fs/pstore";

/* The message in one part of the log. */
static bool panic_find(const char *path, char *text, size_t size)
{
    size_t length = 0;
    char *log = file_read(path, LIMIT, &length);
    const char *found = log ? strstr(log, MESSAGE) : NULL;
    if (found) {
        found += strlen(MESSAGE);
        snprintf(text, size, "%.*s", (int)strcspn(found, "\n"), found);
    }
    free(log);
    return found != NULL;
}

int panic_take(char *text, size_t size)
{
    struct failure failure;
    bool found = false;
    char path[PATH_SIZE];
    const struct dirent *entry;
    coldplug_load_module("efi_pstore", &failure);
    DIR *folder = opendir(panic_folder);
    if (!folder)
        return -1;
    while ((entry = readdir(folder)) != NULL) {
        if (strncmp(entry->d_name, "dmesg-", 6) != 0)
            continue;
        snprintf(path, sizeof path, "%s/%s", panic_folder, entry->d_name);
        found = panic_find(path, text, size) || found;
        /* Firmware has room for few. */
        unlink(path);
    }
    closedir(folder);
    return found ? 0 : -1;
}
