/* utf8.h: characters as bytes (RFC 3629). */
#ifndef COMPOS_UTF8_H
#define COMPOS_UTF8_H

#include <stdint.h>

/* Writes the one to four bytes of a character's code; where the next ones belong. */
char *utf8_put(char *out, uint32_t code);

#endif
