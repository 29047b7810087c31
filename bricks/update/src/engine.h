/*
 * engine.h: RAUC, and the bus that its two halves talk over: a service, which installs, and a
 * client, which asks it to. Both live as long as an update takes.
 */
#ifndef COMPOS_ENGINE_H
#define COMPOS_ENGINE_H

/* Where RAUC mounts, and where the bus has its socket; on a file system in memory. */
#define ENGINE_FOLDER "/run/update"

/*
 * Installs the bundle of a URL or a path into the slot that does not run. Its progress goes to
 * standard output. 0, or -1 with a message on standard error.
 */
int engine_install(const char *source);

/* Runs a program with its own output, and waits: its exit status, or -1 with errno. */
int engine_run(const char *const arguments[]);

/* The first line that a program writes, without the newline; -1 if it fails or writes none. */
int engine_line(const char *const arguments[], char *line, int size);

#endif
