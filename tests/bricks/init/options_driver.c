/*
 * options_driver.c: prints each comma list of mount options as the kernel's flags, propagation and
 * data.
 */
#include "machine/mount.h"

#include <stdio.h>

int main(int count, char *lists[])
{
    for (int i = 1; i < count; i++) {
        struct mount_options options;
        if (mount_options_read(&options, lists[i]) < 0)
            puts("too long");
        else
            printf("%#lx %#lx <%s>\n", options.flags, options.propagation, options.data);
    }
    return 0;
}
