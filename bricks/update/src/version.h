/* version.h: versions as semver.org orders them, with one to three numbers. */
#ifndef COMPOS_VERSION_H
#define COMPOS_VERSION_H

#include <stdbool.h>

/* Whether a text is one. */
bool version_is(const char *text);

/* Below 0, 0 or above 0, as the first is older than, equal to or newer than the second. */
int version_compare(const char *first, const char *second);

#endif
