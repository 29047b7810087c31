/* hexadecimal.h: bytes that drivers are given and show as hexadecimal digits. */
#ifndef DRIVER_HEXADECIMAL_H
#define DRIVER_HEXADECIMAL_H

#include <stddef.h>
#include <stdio.h>

/* Reads up to `most` bytes, as far as there are digits; returns how many. */
static inline size_t driver_read(const char *text, unsigned char *bytes, size_t most)
{
    size_t size = 0;
    unsigned byte;
    while (size < most && sscanf(text + 2 * size, "%2x", &byte) == 1)
        bytes[size++] = (unsigned char)byte;
    return size;
}

/* Always 0, which is what a step returns that has worked. */
static inline int driver_show(const unsigned char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        printf("%02x", bytes[i]);
    puts("");
    return 0;
}

#endif
