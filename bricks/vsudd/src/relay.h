/* relay.h: connections that come in at one socket and go on to another. */
#ifndef COMPOS_RELAY_H
#define COMPOS_RELAY_H

#include <stddef.h>

enum { MAX_PORTS = 32 };

/* Whatever connects to `listener`, a socket that does not block, reaches the socket at `path`. */
struct relay_port {
    int listener;
    const char *path;
};

/* Never returns. */
_Noreturn void relay_serve(const struct relay_port *ports, size_t count);

#endif
