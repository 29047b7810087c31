/* rules.h: which disk is to be taken, and what happens afterwards. */
#ifndef COMPOS_RULES_H
#define COMPOS_RULES_H

#include "base/failure.h"

#include <stdbool.h>
#include <stdint.h>

enum { RULES_WORD = 256 };

enum rules_then { RULES_WAIT, RULES_POWER_OFF, RULES_REBOOT };

struct rules {
    char disk[RULES_WORD];  /* "smallest", "largest", or a disk (candidate.h); empty: by hand */
    char erase[RULES_WORD]; /* the disk that may be taken whatever is on it; empty: none */
    uint64_t least;         /* bytes that a disk must have */
    bool removable;         /* whether rules may take removable disks */
    bool unattended;        /* whether nobody is asked */
    enum rules_then then;
};

/*
 * What the build has written to `path`: lines of a key, a tab and a value. Then the words of the
 * kernel's command line, in the file `cmdline`, which come first: compos.install=auto or =ask,
 * compos.install.disk=, .erase= and .then=.
 */
int rules_read(struct rules *rules, const char *path, const char *cmdline, struct failure *failure);

#endif
