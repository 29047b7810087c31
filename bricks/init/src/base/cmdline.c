/* cmdline.c: see cmdline.h. */
#include "base/cmdline.h"

#include "base/files.h"

#include <stdlib.h>
#include <string.h>

enum { LINE = 4096 };

bool cmdline_has(const char *word)
{
    char line[LINE];
    if (file_line("/proc/cmdline", line, sizeof line) < 0)
        return false;
    for (char *rest = line, *part; (part = strsep(&rest, " ")) != NULL;)
        if (strcmp(part, word) == 0)
            return true;
    return false;
}

int cmdline_number(const char *prefix)
{
    char line[LINE];
    if (file_line("/proc/cmdline", line, sizeof line) < 0)
        return 0;
    for (char *rest = line, *part; (part = strsep(&rest, " ")) != NULL;)
        if (strncmp(part, prefix, strlen(prefix)) == 0)
            return atoi(part + strlen(prefix));
    return 0;
}
