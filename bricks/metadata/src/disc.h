/* disc.h: metadata on a CD or disk: LinuxKit's, NoCloud's, OpenStack's config drive. */
#ifndef COMPOS_DISC_H
#define COMPOS_DISC_H

#include "provider.h"

bool disc_find(const struct search *search, struct result *result);

#endif
