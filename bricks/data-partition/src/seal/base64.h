/* base64.h: bytes as text and back (RFC 4648, 4). */
#ifndef COMPOS_BASE64_H
#define COMPOS_BASE64_H

#include <stddef.h>
#include <sys/types.h>

/* How many bytes the text of `size` bytes takes, with the zero byte behind it. */
#define BASE64_TEXT(size) (((size) + 2) / 3 * 4 + 1)

void base64_write(const void *bytes, size_t size, char *text);

/*
 * How many bytes; -1 if they are more than `most`. Reads until what is no letter of it; line ends
 * do not count.
 */
ssize_t base64_read(const char *text, size_t length, void *bytes, size_t most);

#endif
