/*
 * log.h: what containers write. Each service has two FIFOs below /run/compos/log, which one process
 * of init's program empties into bounded files in /var/log and, as asked, to the console, the
 * kernel's log or a syslog server. Where memlogd listens, output goes there instead
 * (docs/linuxkit.md#run-12).
 */
#ifndef COMPOS_LOG_H
#define COMPOS_LOG_H

#include "services/service.h"

#define LOG_OUT ".out"
#define LOG_ERROR ""

/*
 * Makes the FIFOs and starts the process that empties them. PID 1 keeps them open: nothing breaks
 * when that one dies.
 */
void log_start(const struct service *services, size_t count);

/* One more service: the process begins again, and loses nothing. */
void log_add(const struct service *service);

/* Starts it again if it has died. */
void log_check(void);

/*
 * Has everything written that has been said until now, and waits for it. Nothing is logged
 * afterwards.
 */
void log_stop(void);

/* A descriptor for the output of containerd itself, or -1. */
int log_daemon(void);

/*
 * The path that a container's output goes to; `stream` is LOG_OUT or LOG_ERROR. In a helper
 * process.
 */
void log_target(const struct service *service, const char *stream, char *path, size_t size);

/*
 * Where memlogd listens: a descriptor whose output it takes under the name `source`; -1 where it
 * does not, or fails.
 */
int log_external(const char *source);

#endif
