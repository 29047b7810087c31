/*
 * spec.h: a container's config.json as its runtime gets it: with an absolute root path, where
 * somebody else's folder reads it, and with the seccomp profile that it shares with others. No JSON
 * is parsed for it.
 */
#ifndef COMPOS_SPEC_H
#define COMPOS_SPEC_H

#include "base/failure.h"
#include "containers/bundle.h"

#include <stddef.h>

/*
 * Bytes of a specification as a runtime gets it, and of each file that it is made of. With
 * containerd's own fields around it (containerd.c) it is a request; the build refuses longer ones
 * (MAX_SPECIFICATION, src/compos/compose/plan.py).
 */
enum { MAX_SPEC = 1020 * 1024 };

/*
 * The bundle's config.json, where the bytes that the plan's `rootpath` names are replaced by the
 * JSON string of the absolute rootfs, and the profile that `seccomp` names is put in. To be freed;
 * NULL with the reason.
 */
char *spec_read(const struct bundle *bundle, size_t *length, struct failure *failure);

/*
 * The folder in which the runtime finds the config.json: the bundle's own, or one below /run for a
 * container with a profile. -1 with the reason. `spec_unplace` removes what was made; it may be
 * called without.
 */
int spec_place(const struct bundle *bundle, char *folder, size_t size, struct failure *failure);
void spec_unplace(const struct bundle *bundle);

#endif
