/* scaleway.h: Scaleway's metadata: one document of KEY=VALUE lines. */
#ifndef COMPOS_SCALEWAY_H
#define COMPOS_SCALEWAY_H

#include "provider.h"

bool scaleway_find(const struct search *search, struct result *result);

#endif
