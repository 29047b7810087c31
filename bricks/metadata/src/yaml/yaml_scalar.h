/* yaml_scalar.h: YAML's scalars, decoded where they stand. Sections are those of YAML 1.2.2. */
#ifndef COMPOS_YAML_SCALAR_H
#define COMPOS_YAML_SCALAR_H

#include "yaml/yaml_reader.h"

void yaml_scalar_set(struct json *value, const char *text, size_t length);

/* The quoted scalar at `text`; the byte behind its closing mark, or NULL (refused). */
char *yaml_scalar_quoted(struct yaml_reader *reader, char *text, struct json *value);

/* Whether a plain scalar may begin at `text` (7.3.3). */
bool yaml_scalar_is_plain(const char *text);

/*
 * A block's scalar that begins in the rest of a line, whose further lines are further in than
 * `parent`. The reader is then at the line behind it.
 */
int yaml_scalar_read(struct yaml_reader *reader, char *text, size_t parent, struct json *value);

#endif
