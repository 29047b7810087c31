/* text.h: bytes that grow, up to a limit. */
#ifndef COMPOS_TEXT_H
#define COMPOS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum { MAX_TEXT = 16 << 20 };

/* All zero is empty. `bytes` has a zero byte behind it, or is NULL. */
struct text {
    char *bytes;
    size_t length;
    size_t room;
    bool failed; /* whether something is missing, for want of memory or beyond the limit */
};

void text_add(struct text *text, const char *bytes, size_t length);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In front of the byte at `at`. */
void text_insert(struct text *text, size_t at, const char *bytes, size_t length);
void text_free(struct text *text);

#endif
