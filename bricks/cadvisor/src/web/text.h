/* text.h: text that grows. A process that has no memory for it ends: it serves one request. */
#ifndef COMPOS_TEXT_H
#define COMPOS_TEXT_H

#include <stddef.h>

/* `bytes` is NULL while it is empty. */
struct text {
    char *bytes;
    size_t length;
    size_t room;
};

void text_add(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* NAME="VALUE", with a comma in front unless it is the first, escaped as Prometheus reads it. */
void text_add_label(struct text *text, const char *name, const char *value);

#endif
