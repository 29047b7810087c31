/*
 * panic.h: what the kernel of an earlier boot said when it panicked, which the firmware has kept
 * (pstore).
 */
#ifndef COMPOS_PANIC_H
#define COMPOS_PANIC_H

#include <stddef.h>

/* Where pstore is mounted; tests have another folder. */
extern const char *panic_folder;

/* The message of the panic, and removes what the firmware has kept of it. -1 if there is none. */
int panic_take(char *text, size_t size);

#endif
