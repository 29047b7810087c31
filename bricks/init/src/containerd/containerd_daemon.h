/*
 * containerd_daemon.h: containerd: started early, watched, and started again when it dies. The services run on under their shims
 * meanwhile, which a new containerd finds again.
 */
#ifndef COMPOS_DAEMON_H
#define COMPOS_DAEMON_H

#include "boot/plan.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* What a `containerd-options` line says: options, split at spaces, and where its output goes. Before it is started. */
void daemon_options(const char *const argument[]);

/* Starts it; `argument` is a `containerd` line's: program and socket. Called once. */
void daemon_start(const char *const argument[]);

/* Whether there is one to be used at all. */
bool daemon_present(void);

/* Whether it answers, and what an earlier boot left in it is gone. Called after every event; moves it on. */
bool daemon_ready(const struct plan *plan);

/* The time of its next step; 0: none. */
int64_t daemon_next(void);

const char *daemon_socket(void);

/*
 * Memory that runs out shall not end containerd, whose share in what is killed is therefore small; what it starts inherits
 * that. Takes it away from a container's process, unless its configuration says something else.
 */
void daemon_spare(pid_t pid);

/* From now on its end is nothing to tell of. */
void daemon_end(void);

#endif
