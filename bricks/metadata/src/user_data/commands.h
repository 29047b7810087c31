/* commands.h: bootcmd and runcmd of a #cloud-config, as shell scripts (--commands). */
#ifndef COMPOS_COMMANDS_H
#define COMPOS_COMMANDS_H

#include "json/json.h"
#include "result.h"

/* Writes the script `key` if the document has commands of that name. Nothing is run. */
void commands_write(struct result *result, const struct json *root, const char *key);

#endif
