/*
 * containerd_daemon.h: containerd: started early, watched, and started again when it dies. The
 * services run on under their shims meanwhile, which a new containerd finds again.
 */
#ifndef COMPOS_CONTAINERD_DAEMON_H
#define COMPOS_CONTAINERD_DAEMON_H

#include "boot/plan.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What a `containerd-options` line says: options, split at spaces, and where its output goes.
 * Before it is started.
 */
void containerd_daemon_options(const char *const argument[]);

/* Starts it; `argument` is a `containerd` line's: program and socket. Called once. */
void containerd_daemon_start(const char *const argument[]);

/* Whether there is one to be used at all. */
bool containerd_daemon_is_present(void);

/*
 * Whether it answers, and what an earlier boot left in it is gone. Called after every event; moves
 * it on.
 */
bool containerd_daemon_step(const struct plan *plan);

/* The time of its next step; 0: none. */
int64_t containerd_daemon_next_step(void);

const char *containerd_daemon_socket(void);

/*
 * Memory that runs out shall not end containerd, whose share in what is killed is therefore small;
 * what it starts inherits that. Takes it away from a container's process, unless its configuration
 * says something else.
 */
void containerd_daemon_reset_oom_score(pid_t pid);

/* From now on its end is expected, and not reported. */
void containerd_daemon_expect_end(void);

#endif
