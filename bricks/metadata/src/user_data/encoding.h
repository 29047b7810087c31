/* encoding.h: values in base64, compressed or not, by cloud-init's names. */
#ifndef COMPOS_ENCODING_H
#define COMPOS_ENCODING_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether `name` means base64, `gzip` telling whether of a gzip file. */
bool encoding_named(const char *name, bool *gzip);

/* The bytes that base64 stands for, decompressed if `gzip`, to be freed; NULL with the reason. */
char *encoding_decode(const char *bytes, size_t length, bool gzip, size_t *size,
                      struct failure *failure);

#endif
