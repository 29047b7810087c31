/* yaml_flow.h: YAML's flow collections: [a, b] and {a: b}, over as many lines as they like. */
#ifndef COMPOS_YAML_FLOW_H
#define COMPOS_YAML_FLOW_H

#include "yaml/yaml_reader.h"

/* The collection at `text`, and that nothing follows it. The reader is then at the line behind. */
int yaml_flow_read(struct yaml_reader *reader, char *text, struct json *value, int depth);

#endif
