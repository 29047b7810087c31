/* small_file.h: files that a stranger may have made: no links, no devices, no more than a limit. */
#ifndef COMPOS_SMALL_FILE_H
#define COMPOS_SMALL_FILE_H

#include "base/failure.h"

#include <stddef.h>

/*
 * The bytes of a regular file at `path` (relative to `folder`, below which it is, or AT_FDCWD), a
 * zero byte behind them, to be freed. NULL with the reason, which errno has as well: ENOENT if
 * there is no such file.
 */
char *small_file_read(int folder, const char *path, size_t limit, size_t *length,
                      struct failure *failure);

#endif
