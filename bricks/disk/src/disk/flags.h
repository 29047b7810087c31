/* flags.h: a command's options as Go's `flag` package reads them: `-type xfs`, `--type=xfs`. */
#ifndef COMPOS_DISK_FLAGS_H
#define COMPOS_DISK_FLAGS_H

#include "base/failure.h"

#include <stdbool.h>

/* One of `text` and `on` is where its value goes. */
struct flag {
    const char *name;
    const char **text;
    bool *on; /* `-force`, `-force=false` */
};

/*
 * Reads options up to the first other word or `--`; the list ends with a flag without a name. The
 * index of what follows them, or -1.
 */
int flags_read(int count, char *const arguments[], const struct flag flags[],
               struct failure *failure);

#endif
