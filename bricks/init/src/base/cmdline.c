/* cmdline.c: see cmdline.h. */
#include "base/cmdline.h"

#include "base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINE = 4096 };

const char *cmdline_file = "/proc/cmdline";

/* The first word that begins with `prefix`, in `line`, or NULL. */
static char *cmdline_word(const char *prefix, char *line)
{
    if (file_line(cmdline_file, line, LINE) < 0)
        return NULL;
    for (char *rest = line, *part; (part = strsep(&rest, " ")) != NULL;)
        if (strncmp(part, prefix, strlen(prefix)) == 0)
            return part;
    return NULL;
}

bool cmdline_has(const char *word)
{
    char line[LINE];
    if (file_line(cmdline_file, line, sizeof line) < 0)
        return false;
    for (char *rest = line, *part; (part = strsep(&rest, " ")) != NULL;)
        if (strcmp(part, word) == 0)
            return true;
    return false;
}

int cmdline_number(const char *prefix)
{
    char line[LINE];
    const char *word = cmdline_word(prefix, line);
    return word ? atoi(word + strlen(prefix)) : 0;
}

int cmdline_text(const char *prefix, char *text, size_t size)
{
    char line[LINE];
    const char *word = cmdline_word(prefix, line);
    if (!word)
        return -1;
    snprintf(text, size, "%s", word + strlen(prefix));
    return 0;
}
