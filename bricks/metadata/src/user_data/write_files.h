/* write_files.h: the files of a #cloud-config, below /run/config/files. */
#ifndef COMPOS_WRITE_FILES_H
#define COMPOS_WRITE_FILES_H

#include "json/json.h"
#include "result.h"

/* Writes `file` and those that follow it; one that is invalid is reported and left out. */
void write_files_apply(struct result *result, const struct json *file);

#endif
