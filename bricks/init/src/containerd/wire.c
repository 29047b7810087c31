/* wire.c: see wire.h. */
#include "containerd/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FRAME_HEADER = 9 };

static int64_t wire_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

void wire_begin(struct wire *wire)
{
    wire->deadline = wire_now() + WIRE_TIMEOUT_MS;
}

void wire_put32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

uint32_t wire_get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

int wire_connect(struct wire *wire, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    wire->socket = -1;
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path));
    wire_begin(wire);
    wire->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* connect(2) itself waits while the server's backlog is full. */
    struct timeval timeout = {.tv_sec = WIRE_TIMEOUT_MS / 1000,
                              .tv_usec = WIRE_TIMEOUT_MS % 1000 * 1000};
    if (wire->socket < 0 ||
        setsockopt(wire->socket, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) < 0)
        return -1;
    return connect(wire->socket, (struct sockaddr *)&address, sizeof address);
}

void wire_close(struct wire *wire)
{
    if (wire->socket >= 0)
        close(wire->socket);
    wire->socket = -1;
}

/*
 * Waits until the socket is ready for `events`. A peer that sends a byte now and then gains no time
 * by it.
 */
static int wire_wait_for(struct wire *wire, short events)
{
    struct pollfd ready = {.fd = wire->socket, .events = events};
    for (;;) {
        int64_t left = wire->deadline - wire_now();
        int count = left > 0 ? poll(&ready, 1, (int)left) : 0;
        if (count > 0)
            return 0;
        if (count == 0) {
            errno = ETIMEDOUT;
            return -1;
        }
        if (errno != EINTR)
            return -1;
    }
}

static bool wire_is_transient(ssize_t result)
{
    return result < 0 && (errno == EINTR || errno == EAGAIN);
}

int wire_send(struct wire *wire, const void *data, size_t length)
{
    const uint8_t *at = data;
    while (length) {
        if (wire_wait_for(wire, POLLOUT) < 0)
            return -1;
        ssize_t sent = send(wire->socket, at, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (wire_is_transient(sent))
            continue;
        if (sent < 0)
            return -1;
        at += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int wire_receive(struct wire *wire, void *data, size_t length)
{
    uint8_t *at = data;
    while (length) {
        if (wire_wait_for(wire, POLLIN) < 0)
            return -1;
        ssize_t got = recv(wire->socket, at, length, MSG_DONTWAIT);
        if (wire_is_transient(got))
            continue;
        if (got == 0)
            errno = ECONNRESET;
        if (got <= 0)
            return -1;
        at += got;
        length -= (size_t)got;
    }
    return 0;
}

int wire_send_frame(struct wire *wire, uint8_t type, uint8_t flags, uint32_t stream,
                    const void *body, size_t length)
{
    uint8_t header[FRAME_HEADER] = {(uint8_t)(length >> 16), (uint8_t)(length >> 8),
                                    (uint8_t)length, type, flags};
    wire_put32(header + 5, stream);
    return wire_send(wire, header, sizeof header) < 0 ? -1 : wire_send(wire, body, length);
}

int wire_receive_frame(struct wire *wire, struct frame *frame)
{
    uint8_t header[FRAME_HEADER];
    if (wire_receive(wire, header, sizeof header) < 0)
        return -1;
    frame->length = (size_t)header[0] << 16 | (size_t)header[1] << 8 | header[2];
    frame->type = header[3];
    frame->flags = header[4];
    frame->stream = wire_get32(header + 5) & 0x7fffffff;
    if (frame->length > MAX_FRAME) {
        errno = EMSGSIZE;
        return -1;
    }
    return wire_receive(wire, frame->body, frame->length);
}
