/*
 * stick_driver.c: what stick.c finds on the sticks that are there, in the order in which it is
 * tried; nothing can be installed.
 */
#include "stick.h"

#include <stdio.h>
#include <string.h>

static int refuse(const char *path)
{
    printf("%s\n", path);
    return -1;
}

int main(int count, char *arguments[])
{
    static struct terms own = {.version = "1.4.0", .compatible = "acme-gateway"};
    printf("%s\n", stick_present() ? "present" : "nothing");
    fflush(stdout);
    stick_install(&own, count > 1 && strcmp(arguments[1], "newer") == 0, refuse);
    return 0;
}
