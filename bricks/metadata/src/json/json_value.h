/* json_value.h: values of a tree that came from JSON or YAML, whose scalars are all strings. */
#ifndef COMPOS_JSON_VALUE_H
#define COMPOS_JSON_VALUE_H

#include "json/json.h"

#include <stdbool.h>

/* Whether it is a string, number, true or false. */
bool json_value_is_scalar(const struct json *value);

/*
 * Copies a scalar. 0; -1 if it is none, is empty or too long, or has bytes outside printable ASCII.
 */
int json_value_copy(const struct json *value, char *text, size_t size);

/* As `json_value_copy`, of an object's member. */
int json_value_text(const struct json *object, const char *key, char *text, size_t size);

/* A member that is a number from `least` to `most`; -1 if it is not. */
long json_value_number(const struct json *object, const char *key, long least, long most);

/* A member that YAML 1.1 calls true or false; `usual` if it is neither. */
bool json_value_flag(const struct json *object, const char *key, bool usual);

/* The first entry of a member that is an array; NULL if there is none. */
const struct json *json_value_entries(const struct json *object, const char *key);

#endif
