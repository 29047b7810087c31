/*
 * wire.h: HTTP/2 frames on a unix socket, with an end to every wait (RFC 9113 section 4.1). Knows
 * no frame's meaning.
 */
#ifndef COMPOS_WIRE_H
#define COMPOS_WIRE_H

#include <stddef.h>
#include <stdint.h>

/*
 * How long one exchange may take altogether; tests make it shorter. To start a container took more
 * than a minute in an emulator with a tenth of a processor.
 */
#ifndef WIRE_TIMEOUT_MS
#define WIRE_TIMEOUT_MS 300000
#endif

/* SETTINGS_MAX_FRAME_SIZE, below which neither side may go (section 6.5.2). */
enum { MAX_FRAME = 16384 };

struct wire {
    int socket;
    int64_t deadline; /* CLOCK_MONOTONIC, milliseconds */
};

struct frame {
    uint8_t type;
    uint8_t flags;
    uint32_t stream;
    size_t length;
    uint8_t body[MAX_FRAME];
};

/*
 * All return 0, or -1 with errno: ETIMEDOUT after the deadline, ECONNRESET at the end, EMSGSIZE for
 * an oversized frame.
 */
int wire_connect(struct wire *wire, const char *path);
int wire_send(struct wire *wire, const void *data, size_t length);
int wire_send_frame(struct wire *wire, uint8_t type, uint8_t flags, uint32_t stream,
                    const void *body, size_t length);
int wire_receive_frame(struct wire *wire, struct frame *frame);
void wire_close(struct wire *wire);

/* A new exchange begins: it has the whole time again. */
void wire_begin(struct wire *wire);

/* Numbers of four bytes in network order. */
void wire_put32(uint8_t *at, uint32_t value);
uint32_t wire_get32(const uint8_t *at);

#endif
