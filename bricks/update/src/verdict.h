/*
 * verdict.h: what the handler, which RAUC starts, has found out about a bundle, for the program
 * that has started RAUC. It lies on a file system in memory.
 */
#ifndef COMPOS_VERDICT_H
#define COMPOS_VERDICT_H

struct verdict {
    char version[128]; /* of the bundle, as it is signed; empty if it was not looked at */
    char refusal[512]; /* why it was refused; empty if it was not */
};

/* Before a bundle is installed: nothing is known. */
void verdict_clear(void);

/* Notes the version of the bundle that is looked at. */
void verdict_note(const char *version);

/* Says why a bundle is refused, and notes it. Always -1. */
int verdict_refuse(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What was noted since it was cleared. */
void verdict_read(struct verdict *verdict);

#endif
