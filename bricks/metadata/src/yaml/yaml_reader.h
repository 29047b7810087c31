/* yaml_reader.h: YAML line by line, and the values that have been made of it. */
#ifndef COMPOS_YAML_READER_H
#define COMPOS_YAML_READER_H

#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>

/* YAML_DEPTH: levels of nested collections. */
enum { YAML_DEPTH = 32, YAML_VALUES = 4096 };

/*
 * `line` is the first that has not been used, without blank lines and comments, `indent` its
 * column; an entry that stands behind "- " is a line of its own, further in. Without more, `line`
 * is NULL.
 */
struct yaml_reader {
    char *line;
    char *next;
    size_t indent;
    size_t number;
    struct json *values;
    size_t count;
    struct failure *failure;
};

/* Always -1: the line's number and what is wrong there. */
int yaml_reader_refuse(const struct yaml_reader *reader, const char *what);

/* The line at `next`, with a zero in place of its end; NULL if there is none. */
char *yaml_reader_take_line(struct yaml_reader *reader);

/* Goes on to the next line that is neither blank nor a comment. */
void yaml_reader_advance(struct yaml_reader *reader);

/* One more value; NULL, refused, if there are too many. */
struct json *yaml_reader_new(struct yaml_reader *reader);

/* Whether a scalar's or collection's line may end like this: with blanks and a comment (6.6). */
bool yaml_reader_is_rest(const char *text);

#endif
