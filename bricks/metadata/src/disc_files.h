/* disc_files.h: what a mounted metadata disc says. */
#ifndef COMPOS_DISC_FILES_H
#define COMPOS_DISC_FILES_H

#include "result.h"

#include <stdbool.h>

/*
 * Whether the disc has any of the known files; if so, `result` is begun in the name of `provider`.
 */
bool disc_files_read(int folder, const char *provider, struct result *result);

#endif
