/*
 * engine.h: RAUC, and the bus that its two halves talk over: a service, which installs, and a
 * client, which asks it to. Both live as long as an update takes.
 */
#ifndef COMPOS_ENGINE_H
#define COMPOS_ENGINE_H

#include "base/failure.h"

/* Where RAUC mounts, and where the bus has its socket; on a file system in memory. */
#define ENGINE_FOLDER "/run/update"

/*
 * Installs the bundle of a URL or a path into the slot that does not run; `header` goes with each
 * request for it, unless it is empty. Its progress goes to standard output. 0, or -1 with a message
 * on standard error and the reason, as far as it is known.
 */
int engine_install(const char *source, const char *header, struct failure *reason);

/* Runs a program with its own output, and waits: its exit status, or -1 with errno. */
int engine_run(const char *const arguments[]);

/* The first line that a program writes, without the newline; -1 if it fails or writes none. */
int engine_line(const char *const arguments[], char *line, int size);

struct engine_bundle {
    char compatible[128], version[128];
};

/* What a bundle in a file says that somebody in the keyring has signed; -1 for all others. */
int engine_info(const char *path, struct engine_bundle *bundle);

#endif
