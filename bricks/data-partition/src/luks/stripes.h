/*
 * stripes.h: a key spread over many times its size, so that a disk that keeps some old sector does
 * not keep the key (LUKS's anti-forensic splitter, with SHA-256).
 */
#ifndef COMPOS_STRIPES_H
#define COMPOS_STRIPES_H

#include "base/failure.h"

#include <stddef.h>

enum { STRIPES_KEY = 64, STRIPES_COUNT = 4000, STRIPES_SIZE = STRIPES_KEY * STRIPES_COUNT };

int stripes_split(const unsigned char key[STRIPES_KEY], unsigned char *stripes,
                  struct failure *failure);
void stripes_merge(const unsigned char *stripes, unsigned char key[STRIPES_KEY]);

#endif
