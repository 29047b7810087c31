/*
 * yaml.h: the part of YAML (1.2) that people write cloud-config in, as the tree of json.h: block
 * mappings and sequences, plain and quoted scalars of one line, literal blocks, comments. Anything
 * else is refused with its line: anchors, tags, flow collections, folded blocks, several documents,
 * tabs, a key twice.
 *
 * All scalars are strings. Limits: 32 levels, 4,096 values.
 */
#ifndef COMPOS_YAML_H
#define COMPOS_YAML_H

#include "json/json.h"

/* The root, which is a mapping; NULL with the reason. `text` is changed, and outlives the tree. */
struct json *yaml_parse(char *text, size_t length, struct failure *failure);
void yaml_free(struct json *root);

#endif
