/* source.h: from where an update comes to its installation. */
#ifndef COMPOS_SOURCE_H
#define COMPOS_SOURCE_H

#include "terms.h"

/* Set in the environment of all that is started, when nobody asked for this update. */
#define SOURCE_NEWER "UPDATE_NEWER"
/* Set there to the version that a rollout is of, for the handler to compare. */
#define SOURCE_ONLY "UPDATE_ONLY"

/*
 * Installs what a source has: a URL, a path, a name at a registry, or the word for sticks or
 * hawkBit. 0, or -1 with a message on standard error, or where there is nothing for this machine.
 */
int source_install(const struct terms *own, const char *source);

/* Likewise, of the sticks that are there. */
int source_sticks(const struct terms *own);

#endif
