/* gzip.h: gzip files (RFC 1952), from strangers. */
#ifndef COMPOS_GZIP_H
#define COMPOS_GZIP_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

bool gzip_is(const char *bytes, size_t length);

/* The contents, a zero byte behind them, to be freed; NULL with the reason. */
char *gzip_decompress(const char *bytes, size_t length, size_t limit, size_t *size,
                      struct failure *failure);

#endif
