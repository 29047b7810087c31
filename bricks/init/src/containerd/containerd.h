/* containerd.h: the few containerd calls that init needs, over the unix socket. */
#ifndef COMPOS_CONTAINERD_H
#define COMPOS_CONTAINERD_H

#include "base/failure.h"

#include <stddef.h>
#include <stdint.h>

struct containerd; /* one connection */

/* `ns` is the containerd namespace in all of them. */
struct containerd *containerd_connect(const char *socket, struct failure *failure);
void containerd_close(struct containerd *c);

/* Kills and deletes what an earlier boot left in a persistent /var/lib/containerd. */
int containerd_remove_all(struct containerd *c, const char *ns, struct failure *failure);

/*
 * Deletes what is left of a container, killed where it still runs; one that is not there is fine.
 * `status` is its exit status, 0 when there was no task.
 */
int containerd_remove(struct containerd *c, const char *ns, const char *id, uint32_t *status,
                      struct failure *failure);

/*
 * A container of the runc shim; `spec` is config.json; `program` is the OCI runtime, empty for the
 * shim's own choice.
 */
int containerd_create(struct containerd *c, const char *ns, const char *id, const char *program,
                      const void *spec, size_t spec_length, struct failure *failure);

/*
 * Its task. Its root is mounted already; `out` and `err` are plain files that exist. Standard input
 * is /dev/null.
 */
int containerd_task(struct containerd *c, const char *ns, const char *id, const char *out,
                    const char *err, uint32_t *pid, struct failure *failure);
int containerd_start(struct containerd *c, const char *ns, const char *id, uint32_t *pid,
                     struct failure *failure);
int containerd_kill(struct containerd *c, const char *ns, const char *id, uint32_t sig,
                    struct failure *failure);

#endif
