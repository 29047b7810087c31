/* base64.h: RFC 4648, 4. */
#ifndef COMPOS_BASE64_H
#define COMPOS_BASE64_H

#include <stddef.h>

/*
 * The bytes that `text` stands for, to be freed; NULL if it is no base64. White space is passed
 * over.
 */
char *base64_decode(const char *text, size_t length, size_t *size);

#endif
