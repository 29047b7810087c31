/* events.h: which of Docker's events free room on its disk. */
#ifndef COMPOS_EVENTS_H
#define COMPOS_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Bytes of the event stream as they come. Whether any of the events that have come with them frees
 * room. Lines that are no events (the response's head, the sizes of chunks) are passed over.
 */
bool events_take(const char *bytes, size_t count);

/* A new stream begins: what has come of a line is dropped. */
void events_reset(void);

#endif
