/*
 * bundle.h: a container of the plan: what is made ready before it is created, and done to its
 * process before it starts.
 */
#ifndef COMPOS_BUNDLE_H
#define COMPOS_BUNDLE_H

#include "base/failure.h"
#include "boot/plan.h"

#include <sys/types.h>

struct bundle {
    const char *id;
    const char *path;              /* the bundle's directory */
    const char *namespace;         /* containerd's; empty for runc */
    char rootfs[512];              /* path/rootfs */
    const struct plan_line *lines; /* the container's own, without the container line */
    size_t count;
};

/* The container at `index` of the plan; `end` is the stage's. */
int bundle_read(struct bundle *bundle, const struct plan *plan, size_t index, size_t end,
                struct failure *failure);

/* Whether its id can be a part of file names. */
bool bundle_is_named(const struct bundle *bundle);

/* Mounts, directories and cgroups. */
int bundle_prepare(const struct bundle *bundle, struct failure *failure);

/*
 * Whether it has interfaces or bound namespaces: they are given to a process that is created and
 * does not run yet.
 */
bool bundle_attaches(const struct bundle *bundle);

/* Interfaces and bound namespaces of the created process. */
int bundle_attach(const struct bundle *bundle, pid_t pid, struct failure *failure);

/* Opens a log for appending (0644), its directory made. */
int bundle_log(const char *path, struct failure *failure);

#endif
