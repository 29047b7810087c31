/*
 * data.h: which version the machine's data has, and which versions of the system can read it. What
 * is known stands on the data partition, so that it is there whichever slot runs. Only for systems
 * whose terms say something of it.
 */
#ifndef COMPOS_DATA_H
#define COMPOS_DATA_H

#include "terms.h"

/*
 * Before the services start: records what this version can read, and that from now on it writes. -1
 * with a message if it cannot read what is there, or nothing can be recorded; nothing is changed
 * then.
 */
int data_start(const struct terms *own);

/*
 * Whether an update can read what is there, and this version what the update writes: if its trial
 * fails, this one starts again. -1 with a message.
 */
int data_readable(const struct terms *own, const struct terms *update);

/* Remembers what a version can read that is about to be written into the other slot. */
int data_remember(const struct terms *other);

/* Whether a version that was remembered can read what is there: -1 with a message. */
int data_known(const char *version);

#endif
