/*
 * config.h: the files of /run/config. Nothing is written anywhere else: every name is one
 * component, created below an open directory, and no link is followed.
 */
#ifndef COMPOS_CONFIG_H
#define COMPOS_CONFIG_H

#include "base/failure.h"

#include <stddef.h>
#include <sys/types.h>

/* /run/config, made (0755) where it is missing: a descriptor, or -1. */
int config_open(struct failure *failure);

/*
 * The directory `name` of `parent`, made where it is missing: a descriptor, or -1. Its mode is
 * 0700, so that it can be filled without CAP_DAC_OVERRIDE, until `config_close` sets the final one.
 */
int config_directory(int parent, const char *name, struct failure *failure);
int config_close(int folder, mode_t mode, struct failure *failure);

/*
 * Writes the file `name` of `parent`, whole: it appears under its name when it is complete. `mode`
 * is applied without regard to the umask.
 */
int config_write(int parent, const char *name, const char *bytes, size_t length, mode_t mode,
                 struct failure *failure);

#endif
