/* containerd.h: the few containerd calls that init needs, over the unix socket. */
#ifndef COMPOS_CONTAINERD_H
#define COMPOS_CONTAINERD_H

#include <stddef.h>
#include <stdint.h>

struct containerd; /* one connection */

/* All return 0, or -1 with a NUL-terminated message in `error`. `ns` is the containerd namespace. */
struct containerd *containerd_connect(const char *socket, char *error, size_t size);
void containerd_close(struct containerd *c);

/* Kills and deletes what an earlier boot left in a persistent /var/lib/containerd. */
int containerd_remove_all(struct containerd *c, const char *ns, char *error, size_t size);

/*
 * Deletes what is left of a container, killed where it still runs; one that is not there is fine. `status` is its exit
 * status, 0 when there was no task.
 */
int containerd_remove(struct containerd *c, const char *ns, const char *id, uint32_t *status, char *error, size_t size);

/* A container of the runc shim; `spec` is config.json; `program` is the OCI runtime, empty for the shim's own choice. */
int containerd_create(struct containerd *c, const char *ns, const char *id, const char *program, const void *spec,
                      size_t spec_length, char *error, size_t size);

/* Its task. Its root is mounted already; `out` and `err` are plain files that exist. Standard input is /dev/null. */
int containerd_task(struct containerd *c, const char *ns, const char *id, const char *out, const char *err,
                    uint32_t *pid, char *error, size_t size);
int containerd_start(struct containerd *c, const char *ns, const char *id, uint32_t *pid, char *error, size_t size);
int containerd_kill(struct containerd *c, const char *ns, const char *id, uint32_t sig, char *error, size_t size);

#endif
