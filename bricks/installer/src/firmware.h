/*
 * firmware.h: the keys of Secure Boot: whether this machine's firmware takes those on the medium,
 * and that it gets them.
 *
 * A medium of a secure system has the certificate that its programs are signed for, `db.der`, and
 * for firmware in setup mode `db.auth`, `KEK.auth` and `PK.auth`; private keys are nowhere on it.
 */
#ifndef COMPOS_FIRMWARE_H
#define COMPOS_FIRMWARE_H

#include "base/failure.h"

#include <stddef.h>
#include <stdint.h>

enum { FIRMWARE_KEYS = 3 };

enum firmware_plan {
    FIRMWARE_LEAVE, /* nothing is to be done */
    FIRMWARE_ENROL  /* it is in setup mode and gets the keys */
};

/* A signed update of a variable, and the contents in it. */
struct firmware_key {
    const char *name;
    uint8_t *update;
    size_t size;
    size_t contents; /* where they begin; they reach to the end */
};

struct firmware {
    enum firmware_plan plan;
    struct firmware_key keys[FIRMWARE_KEYS]; /* in the order in which they are enrolled */
};

/*
 * Looks at the medium's keys in `folder` and at the firmware, and reports what will happen to it.
 * -1 where the system would not start on this machine, or keys on the medium are damaged: nothing
 * is to be installed then.
 */
int firmware_look(struct firmware *firmware, const char *folder, struct failure *failure);

/*
 * Does what was planned, and reads back what the firmware has then. After -1 it is in setup mode
 * still, unless the failure says something else; it may be called again.
 */
int firmware_enrol(struct firmware *firmware, struct failure *failure);

#endif
