/* tool.h: running mkfs and its like. */
#ifndef COMPOS_DISK_TOOL_H
#define COMPOS_DISK_TOOL_H

#include "base/failure.h"

#include <stdbool.h>

/*
 * Runs a program, found through PATH, stdin from `input` (-1: /dev/null), to its end; after
 * `seconds` it is killed. What it prints is passed on to stderr if `verbose` is set, and the first
 * line of it is part of the failure. 0 when its exit status is 0.
 */
int tool_run(const char *const arguments[], int input, int seconds, bool verbose,
             struct failure *failure);

#endif
