/* logs.h: files that grow up to a size, and are then renamed. */
#ifndef COMPOS_LOGS_H
#define COMPOS_LOGS_H

#include "base/failure.h"

#include <stddef.h>

/* The files are in `folder`; one of at least `size` bytes is renamed, `files` are kept, with it. */
int logs_start(const char *folder, long size, long files, struct failure *failure);

/* Appends a line to SOURCE.log. -1 if it cannot be written. */
int logs_append(const char *source, const char *line, size_t length, struct failure *failure);

#endif
