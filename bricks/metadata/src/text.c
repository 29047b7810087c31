/* text.c: see text.h. */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `length` bytes more, and a zero byte. */
static bool text_grow(struct text *text, size_t length)
{
    if (text->failed || length > MAX_TEXT - text->length)
        return false;
    size_t wanted = text->length + length + 1;
    if (wanted <= text->room)
        return true;
    char *longer = realloc(text->bytes, wanted * 2);
    if (!longer)
        return false;
    text->bytes = longer;
    text->room = wanted * 2;
    return true;
}

void text_insert(struct text *text, size_t at, const char *bytes, size_t length)
{
    if (!text_grow(text, length)) {
        text->failed = true;
        return;
    }
    memmove(text->bytes + at + length, text->bytes + at, text->length - at);
    memcpy(text->bytes + at, bytes, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

void text_add(struct text *text, const char *bytes, size_t length)
{
    text_insert(text, text->length, bytes, length);
}

void text_format(struct text *text, const char *format, ...)
{
    char line[2048];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof line)
        text->failed = true;
    else
        text_add(text, line, (size_t)length);
}

void text_free(struct text *text)
{
    free(text->bytes);
    *text = (struct text){0};
}
