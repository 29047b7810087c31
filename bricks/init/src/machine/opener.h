/*
 * opener.h: roots of slots that are encrypted. A program opens them, which lies in the small initrd
 * beside init (bricks/data-partition/src/luks).
 */
#ifndef COMPOS_OPENER_H
#define COMPOS_OPENER_H

#include <stdbool.h>

enum opened {
    OPENER_MISSING, /* the disk is not there yet */
    OPENER_OPENED,  /* or there is nothing to open */
    OPENER_REFUSED
};

/* `ask`: for the recovery key, where the TPM does not help; `move`: to the system's present key. */
enum opened opener_open(bool ask, bool move);

#endif
