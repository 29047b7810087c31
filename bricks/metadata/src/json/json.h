/*
 * json.h: JSON (RFC 8259) from strangers, as a tree. Limits: 64 levels, 65,536 values; whoever
 * reads the document limits its size.
 */
#ifndef COMPOS_JSON_H
#define COMPOS_JSON_H

#include "base/failure.h"

#include <stddef.h>

enum json_type { JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    enum json_type type;
    const char *key; /* of an object's member: UTF-8, a zero byte behind it */
    size_t key_length;
    const char *text; /* a string's bytes, as for the key; a number's or word's first byte */
    size_t length;
    struct json *first; /* an array's or object's */
    struct json *next;
};

/*
 * The document's root; NULL with the reason. Strings are decoded in `text`, which must outlive the
 * tree. `json_free` releases what is returned.
 */
struct json *json_parse(char *text, size_t length, struct failure *failure);
void json_free(struct json *root);

/* The last member of that name; NULL if there is none, or `object` is NULL or no object. */
const struct json *json_member(const struct json *object, const char *key);

/* The string at a path of members ("compute.name"); NULL if there is none. */
const struct json *json_string(const struct json *root, const char *path);

#endif
