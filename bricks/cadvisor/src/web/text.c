/* text.c: see text.h. */
#include "web/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void text_make_room(struct text *text, size_t more)
{
    if (text->room - text->length > more)
        return;
    size_t room = (text->length + more) * 2 + 256;
    char *bytes = realloc(text->bytes, room);
    if (!bytes) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    text->bytes = bytes;
    text->room = room;
}

void text_add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length <= 0)
        return;
    text_make_room(text, (size_t)length + 1);
    va_start(arguments, format);
    vsnprintf(text->bytes + text->length, (size_t)length + 1, format, arguments);
    va_end(arguments);
    text->length += (size_t)length;
}

void text_add_label(struct text *text, const char *name, const char *value)
{
    text_add(text, "%s%s=\"", text->length ? "," : "", name);
    for (; *value; value++) {
        if (*value == '\n')
            text_add(text, "\\n");
        else
            text_add(text, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
    }
    text_add(text, "\"");
}
