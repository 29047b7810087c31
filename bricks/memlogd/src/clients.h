/* clients.h: who reads the log: each at its own pace, and at nobody else's cost. */
#ifndef COMPOS_CLIENTS_H
#define COMPOS_CLIENTS_H

#include <poll.h>
#include <stddef.h>

enum { MAX_CLIENTS = 64 };

/* Takes the next client of the query socket. If there are too many, the oldest has to go. */
void clients_accept(int query_socket);

/* Adds what is waited for to `polled`, which has room for MAX_CLIENTS; returns how many. */
size_t clients_poll(struct pollfd *polled);

/* Reads queries and sends lines. `polled` is as it was filled in, in the same order. */
void clients_serve(const struct pollfd *polled, size_t count);

#endif
