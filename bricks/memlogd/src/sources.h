/* sources.h: the descriptors that memlogd reads lines from, each until its end. */
#ifndef COMPOS_SOURCES_H
#define COMPOS_SOURCES_H

#include <poll.h>
#include <stddef.h>

enum { MAX_SOURCES = 1024 };

/* Lines are cut to `max_line` bytes. -1 with errno. */
int sources_start(size_t max_line);

/* Takes what the message on the log socket brings; one that is none is dropped. */
void sources_accept(int log_socket);

/* Adds what is waited for to `polled`, which has room for MAX_SOURCES; returns how many. */
size_t sources_poll(struct pollfd *polled);

/* Reads from those that are ready. `polled` is as it was filled in, in the same order. */
void sources_read(const struct pollfd *polled, size_t count);

#endif
