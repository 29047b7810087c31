/* ring.h: the last lines of all sources, in the order in which they came. */
#ifndef COMPOS_RING_H
#define COMPOS_RING_H

#include <stddef.h>
#include <stdint.h>

/* Room for so many lines. -1 with errno. */
int ring_start(size_t lines);

/* Adds a line, in place of the oldest if there is no room. It is lost if there is no memory. */
void ring_add(const char *source, const char *message, size_t length);

/* The number of the oldest line, and the one that the next will have. */
uint64_t ring_first(void);
uint64_t ring_end(void);

/*
 * The line `number` (from ring_first to before ring_end) as a JSON object, with a line feed, to be
 * freed; NULL with errno.
 */
char *ring_format(uint64_t number, size_t *length);

#endif
