/* disc.h: metadata on a CD or disk: LinuxKit's, NoCloud's, OpenStack's config drive. */
#ifndef COMPOS_DISC_H
#define COMPOS_DISC_H

#include "provider.h"

bool disc_find(const struct search *search, struct result *result);

/* The file `name` of the first CD that has one, to be freed; NULL if there is none. */
char *disc_read_file(const char *name, size_t limit, size_t *length);

#endif
