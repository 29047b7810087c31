/* connection.h: a TCP connection that never waits beyond a deadline. */
#ifndef COMPOS_CONNECTION_H
#define COMPOS_CONNECTION_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct connection {
    int socket;
    int64_t deadline; /* connection_now */
};

/* Milliseconds of the monotonic clock. */
int64_t connection_now(void);

/* From now on connection_open of this address fails at once. */
void connection_avoid(const char *address);

/*
 * Connects to port 80 of an IPv4 address or name, until `deadline`. An address that cannot be
 * reached is avoided from then on. `privileged`: from a port below 1024.
 */
int connection_open(struct connection *connection, const char *address, bool privileged,
                    int64_t deadline, struct failure *failure);

int connection_write(const struct connection *connection, const char *bytes, size_t length,
                     struct failure *failure);

/* At least one byte, at most `size`; 0 at the end. */
ssize_t connection_read(const struct connection *connection, char *bytes, size_t size,
                        struct failure *failure);

#endif
