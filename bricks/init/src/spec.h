/* spec.h: a service's config.json as containerd wants it: with an absolute root path. No JSON is parsed for it. */
#ifndef COMPOS_SPEC_H
#define COMPOS_SPEC_H

#include "bundle.h"

#include <stddef.h>

/*
 * The bundle's config.json, where the bytes that the plan's `rootpath` names are replaced by the JSON string of the
 * absolute rootfs. To be freed; NULL with the reason.
 */
char *spec_read(const struct bundle *bundle, size_t *length, struct failure *failure);

#endif
