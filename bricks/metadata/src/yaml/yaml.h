/*
 * yaml.h: the part of YAML (1.2) that people write cloud-config in, as the tree of json.h: block
 * mappings and sequences, flow collections (and with them JSON), plain scalars, quoted ones of one
 * line, literal and folded blocks, comments. Anything else is refused with its line: anchors,
 * aliases, tags, several documents, a key twice.
 *
 * All scalars are strings. Limits: 32 levels, 4,096 values.
 */
#ifndef COMPOS_YAML_H
#define COMPOS_YAML_H

#include "json/json.h"

/* The root, which is a mapping; NULL with the reason. `text` is changed, and outlives the tree. */
struct json *yaml_parse(char *text, size_t length, struct failure *failure);
void yaml_free(struct json *root);

/*
 * As `yaml_parse`, or json_parse if it is JSON, of bytes that are left alone: `*copy` is what the
 * tree stands in, to be freed behind it, whatever is returned.
 */
struct json *yaml_parse_copy(const char *bytes, size_t length, char **copy,
                             struct failure *failure);

#endif
