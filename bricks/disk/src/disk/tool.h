/* tool.h: running mkfs and its like. */
#ifndef COMPOS_DISK_TOOL_H
#define COMPOS_DISK_TOOL_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Runs a program, found through PATH, stdin from `input` (-1: /dev/null), to its end; after
 * `seconds` it is killed. What it prints is passed on to stderr if `verbose` is set, and the first
 * line of it is part of the failure. 0 when its exit status is 0.
 */
int tool_run(const char *const arguments[], int input, int seconds, bool verbose,
             struct failure *failure);

/* The same; exit statuses up to `most` are no failure. */
int tool_run_to(const char *const arguments[], int input, int seconds, bool verbose, int most,
                struct failure *failure);

/*
 * What it prints on stdout, up to `size` - 1 bytes, which may be a secret: nothing of it is kept or
 * passed on.
 */
int tool_capture(const char *const arguments[], int seconds, char *output, size_t size,
                 struct failure *failure);

#endif
