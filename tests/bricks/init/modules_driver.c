/*
 * modules_driver.c: FOLDER NAME...: prints the files that loading each name would bring into the
 * kernel, in order, with their parameters of the command line $CMDLINE.
 */
#include "base/failure.h"
#include "machine/modules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int print_path(const char *path, const char *parameters)
{
    printf("insert %s%s%s\n", path, *parameters ? " " : "", parameters);
    errno = EINVAL;
    return strstr(path, "broken") ? -1 : 0;
}

int main(int count, char *arguments[])
{
    struct modules modules;
    if (modules_open(&modules, arguments[1]) < 0) {
        puts("no modules");
        return 1;
    }
    modules.insert = print_path;
    const char *cmdline = getenv("CMDLINE");
    snprintf(modules.cmdline, sizeof modules.cmdline, "%s", cmdline ? cmdline : "");
    for (int i = 2; i < count; i++) {
        struct failure failure = {"no reason"};
        int found = modules_load(&modules, arguments[i], &failure);
        printf("%s: %d%s%s\n", arguments[i], found, found < 0 ? " " : "",
               found < 0 ? failure.text : "");
    }
    modules_close(&modules);
    return 0;
}
