/* stick.h: updates on USB sticks, memory cards and discs. */
#ifndef COMPOS_STICK_H
#define COMPOS_STICK_H

#include "terms.h"

#include <stdint.h>

/* The word for them among the sources. */
#define STICK_WORD "stick"

/* A number that is another one as soon as other media are there; 0 if there are none. */
uint64_t stick_present(void);

/*
 * Looks for bundles for this kind of machine (*.raucb in the first folder of a file system, signed
 * by somebody in the keyring), and calls `install` with them, the newest first, until it returns 0.
 * With `newer`, only versions that are newer than this one. -1 if nothing was installed.
 */
int stick_install(const struct terms *own, bool newer, int (*install)(const char *path));

#endif
