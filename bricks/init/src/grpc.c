/* grpc.c: see grpc.h. The peer is not trusted: every length is checked, memory is bounded, every wait has an end. */
#define _GNU_SOURCE
#include "grpc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "hpack.h"

/* RFC 9113 section 6: frame types and flags; section 6.5.2: settings. */
enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 0x1, ACK = 0x1, END_HEADERS = 0x4, PADDED = 0x8, WITH_PRIORITY = 0x20 };
enum { HEADER_TABLE_SIZE = 1, ENABLE_PUSH = 2, INITIAL_WINDOW_SIZE = 4 };

enum {
    FRAME_HEADER = 9,
    FRAME_MOST = 16384,     /* SETTINGS_MAX_FRAME_SIZE, which neither side may go below */
    BLOCK_MOST = 64 * 1024, /* a header block */
    REPLY_MOST = 1024 * 1024,
    WINDOW = 65535,
    MESSAGE_PREFIX = 5,
    PATIENCE = 60, /* seconds */
};

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct grpc {
    int socket;
    uint32_t stream;
    int64_t window;         /* what the peer takes on the connection */
    int64_t initial_window; /* what it takes on a new stream */
    uint8_t frame[FRAME_MOST];
    uint8_t block[BLOCK_MOST];
    size_t block_length;
    uint8_t reply[REPLY_MOST];
};

/* One call under way. */
struct call {
    struct grpc *grpc;
    int64_t window;
    size_t reply_length;
    bool ended;
    bool has_status;
    unsigned status;
    char message[512];
    char *error;
    size_t size;
};

static int fail(char *error, size_t size, const char *what)
{
    snprintf(error, size, "%s", what);
    return -1;
}

static int send_all(struct grpc *grpc, const void *data, size_t length)
{
    const uint8_t *at = data;
    while (length) {
        ssize_t sent = send(grpc->socket, at, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        at += sent;
        length -= (size_t)sent;
    }
    return 0;
}

static int receive_all(struct grpc *grpc, void *data, size_t length)
{
    uint8_t *at = data;
    while (length) {
        ssize_t got = recv(grpc->socket, at, length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return -1;
        at += got;
        length -= (size_t)got;
    }
    return 0;
}

static void put32(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 24);
    at[1] = (uint8_t)(value >> 16);
    at[2] = (uint8_t)(value >> 8);
    at[3] = (uint8_t)value;
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static int send_frame(struct grpc *grpc, uint8_t type, uint8_t flags, uint32_t stream, const void *body, size_t length)
{
    uint8_t header[FRAME_HEADER] = {(uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, type, flags};
    put32(header + 5, stream);
    return send_all(grpc, header, sizeof header) || send_all(grpc, body, length) ? -1 : 0;
}

struct grpc *grpc_connect(const char *path, char *error, size_t size)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct grpc *grpc = malloc(sizeof *grpc);
    if (!grpc) {
        fail(error, size, "out of memory");
        return NULL;
    }
    grpc->stream = 0;
    grpc->window = grpc->initial_window = WINDOW;
    grpc->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = PATIENCE};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    /* Our settings: no dynamic header table, no pushes. */
    static const uint8_t settings[] = {0, HEADER_TABLE_SIZE, 0, 0, 0, 0, 0, ENABLE_PUSH, 0, 0, 0, 0};
    if (grpc->socket < 0 || setsockopt(grpc->socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) ||
        setsockopt(grpc->socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) ||
        connect(grpc->socket, (struct sockaddr *)&address, sizeof address) ||
        send_all(grpc, preface, sizeof preface - 1) || send_frame(grpc, SETTINGS, 0, 0, settings, sizeof settings)) {
        snprintf(error, size, "%s: %s", path, strerror(errno));
        grpc_close(grpc);
        return NULL;
    }
    return grpc;
}

void grpc_close(struct grpc *grpc)
{
    if (!grpc)
        return;
    if (grpc->socket >= 0)
        close(grpc->socket);
    free(grpc);
}

/* The gRPC status in decoded form: grpc-message is percent-encoded. */
static void take_header(void *context, const char *name, const char *value)
{
    struct call *call = context;
    if (!strcmp(name, "grpc-status")) {
        call->has_status = true;
        call->status = (unsigned)strtoul(value, NULL, 10);
    } else if (!strcmp(name, "grpc-message")) {
        size_t used = 0;
        for (const char *at = value; *at && used + 1 < sizeof call->message; at++) {
            unsigned code;
            if (*at == '%' && sscanf(at + 1, "%2x", &code) == 1) {
                call->message[used++] = (char)code;
                at += 2;
            } else {
                call->message[used++] = *at;
            }
        }
        call->message[used] = '\0';
    }
}

static int take_settings(struct call *call, const uint8_t *body, size_t length, uint8_t flags)
{
    struct grpc *grpc = call->grpc;
    if (flags & ACK)
        return 0;
    for (size_t at = 0; at + 6 <= length; at += 6) {
        if ((body[at] << 8 | body[at + 1]) != INITIAL_WINDOW_SIZE)
            continue;
        int64_t value = get32(body + at + 2);
        call->window += value - grpc->initial_window;
        grpc->initial_window = value;
    }
    return send_frame(grpc, SETTINGS, ACK, 0, "", 0);
}

/* Cuts padding and priority off a HEADERS or DATA frame (sections 6.1 and 6.2). */
static int unpadded(const uint8_t **body, size_t *length, uint8_t flags, bool headers)
{
    size_t front = 0, back = 0;
    if (flags & PADDED) {
        if (*length < 1)
            return -1;
        back = (*body)[0];
        front = 1;
    }
    if (headers && flags & WITH_PRIORITY)
        front += 5;
    if (front + back > *length)
        return -1;
    *body += front;
    *length -= front + back;
    return 0;
}

static int take_data(struct call *call, const uint8_t *body, size_t length, uint8_t flags, size_t whole)
{
    struct grpc *grpc = call->grpc;
    if (unpadded(&body, &length, flags, false) || length > REPLY_MOST - call->reply_length)
        return fail(call->error, call->size, "the answer is too long");
    memcpy(grpc->reply + call->reply_length, body, length);
    call->reply_length += length;
    call->ended = flags & END_STREAM;
    if (!whole)
        return 0;
    uint8_t increment[4];
    put32(increment, (uint32_t)whole);
    if (send_frame(grpc, WINDOW_UPDATE, 0, 0, increment, 4) ||
        (!call->ended && send_frame(grpc, WINDOW_UPDATE, 0, grpc->stream, increment, 4)))
        return fail(call->error, call->size, "the connection broke");
    return 0;
}

static int take_headers(struct call *call, uint8_t type, const uint8_t *body, size_t length, uint8_t flags)
{
    struct grpc *grpc = call->grpc;
    if (type == HEADERS) {
        grpc->block_length = 0;
        if (unpadded(&body, &length, flags, true))
            return fail(call->error, call->size, "a malformed frame");
        call->ended = flags & END_STREAM;
    }
    if (length > BLOCK_MOST - grpc->block_length)
        return fail(call->error, call->size, "the headers are too long");
    memcpy(grpc->block + grpc->block_length, body, length);
    grpc->block_length += length;
    if (!(flags & END_HEADERS)) {
        call->ended = false; /* CONTINUATION frames follow; only the whole block counts */
        return 0;
    }
    if (hpack_walk(grpc->block, grpc->block_length, take_header, call))
        return fail(call->error, call->size, "malformed headers");
    call->ended = call->ended || call->has_status;
    return 0;
}

/* Reads one frame and does what it asks for. */
static int take_frame(struct call *call)
{
    struct grpc *grpc = call->grpc;
    uint8_t header[FRAME_HEADER];
    if (receive_all(grpc, header, sizeof header))
        return fail(call->error, call->size, "the connection broke, or nobody answers");
    size_t length = (size_t)header[0] << 16 | (size_t)header[1] << 8 | header[2];
    uint8_t type = header[3], flags = header[4];
    uint32_t stream = get32(header + 5) & 0x7fffffff;
    if (length > FRAME_MOST)
        return fail(call->error, call->size, "an oversized frame");
    if (receive_all(grpc, grpc->frame, length))
        return fail(call->error, call->size, "the connection broke inside a frame");
    bool ours = stream == grpc->stream;
    switch (type) {
    case SETTINGS:
        return take_settings(call, grpc->frame, length, flags) ? fail(call->error, call->size, "the connection broke") : 0;
    case PING:
        if (length != 8)
            return fail(call->error, call->size, "a malformed frame");
        return flags & ACK || !send_frame(grpc, PING, ACK, 0, grpc->frame, 8) ? 0 : -1;
    case WINDOW_UPDATE:
        if (length != 4)
            return fail(call->error, call->size, "a malformed frame");
        *(stream == 0 ? &grpc->window : &call->window) += stream == 0 || ours ? get32(grpc->frame) & 0x7fffffff : 0;
        return 0;
    case GOAWAY:
        return fail(call->error, call->size, "the server is going away");
    case RST_STREAM:
        return ours ? fail(call->error, call->size, "the server gave the call up") : 0;
    case DATA:
        return ours ? take_data(call, grpc->frame, length, flags, length) : 0;
    case HEADERS:
    case CONTINUATION:
        return ours ? take_headers(call, type, grpc->frame, length, flags) : 0;
    default: /* unknown and uninteresting types are ignored (section 4.1) */
        return 0;
    }
}

/* A literal header field without indexing, name and value as they are (RFC 7541 section 6.2.2). */
static size_t put_header(uint8_t *out, size_t at, size_t size, const char *name, const char *value)
{
    const char *texts[] = {name, value};
    if (at >= size)
        return size + 1;
    out[at++] = 0;
    for (unsigned index = 0; index < 2; index++) {
        size_t length = strlen(texts[index]);
        if (length >= 127 + 128 || at + 2 + length > size)
            return size + 1;
        if (length < 127) {
            out[at++] = (uint8_t)length;
        } else {
            out[at++] = 127;
            out[at++] = (uint8_t)(length - 127);
        }
        memcpy(out + at, texts[index], length);
        at += length;
    }
    return at;
}

static int send_headers(struct call *call, const char *path, const char *key, const char *value)
{
    uint8_t block[1024];
    const char *headers[][2] = {{":method", "POST"},        {":scheme", "http"},
                                {":path", path},            {":authority", "localhost"},
                                {"te", "trailers"},         {"content-type", "application/grpc"},
                                {key, value}};
    size_t used = 0;
    for (size_t index = 0; index < sizeof headers / sizeof *headers; index++)
        used = put_header(block, used, sizeof block, headers[index][0], headers[index][1]);
    if (used > sizeof block)
        return fail(call->error, call->size, "a header is too long");
    if (send_frame(call->grpc, HEADERS, END_HEADERS, call->grpc->stream, block, used))
        return fail(call->error, call->size, "the connection broke");
    return 0;
}

/* Sends the request in frames, as fast as the peer's windows let us. */
static int send_message(struct call *call, const uint8_t *request, size_t length)
{
    struct grpc *grpc = call->grpc;
    uint8_t prefix[MESSAGE_PREFIX] = {0};
    put32(prefix + 1, (uint32_t)length);
    size_t sent = 0, total = length + MESSAGE_PREFIX;
    uint8_t chunk[FRAME_MOST];
    while (sent < total && !call->ended) {
        size_t room = total - sent < FRAME_MOST ? total - sent : FRAME_MOST;
        if ((int64_t)room > grpc->window)
            room = grpc->window > 0 ? (size_t)grpc->window : 0;
        if ((int64_t)room > call->window)
            room = call->window > 0 ? (size_t)call->window : 0;
        if (!room) {
            if (take_frame(call))
                return -1;
            continue;
        }
        for (size_t index = 0; index < room; index++)
            chunk[index] = sent + index < MESSAGE_PREFIX ? prefix[sent + index] : request[sent + index - MESSAGE_PREFIX];
        sent += room;
        if (send_frame(grpc, DATA, sent == total ? END_STREAM : 0, grpc->stream, chunk, room))
            return fail(call->error, call->size, "the connection broke");
        grpc->window -= (int64_t)room;
        call->window -= (int64_t)room;
    }
    return 0;
}

int grpc_call(struct grpc *grpc, const char *path, const char *key, const char *value, const uint8_t *request,
              size_t request_length, const uint8_t **reply, size_t *reply_length, char *error, size_t size)
{
    struct call call = {.grpc = grpc, .window = grpc->initial_window, .error = error, .size = size};
    grpc->stream = grpc->stream ? grpc->stream + 2 : 1; /* a client's streams are odd (section 5.1.1) */
    if (send_headers(&call, path, key, value) || send_message(&call, request, request_length))
        return -1;
    while (!call.ended)
        if (take_frame(&call))
            return -1;
    if (!call.has_status || call.status) {
        snprintf(error, size, "%s", call.message[0] ? call.message : "the server refused the call without a reason");
        return -1;
    }
    if (call.reply_length < MESSAGE_PREFIX || grpc->reply[0] ||
        get32(grpc->reply + 1) != call.reply_length - MESSAGE_PREFIX)
        return fail(error, size, "a malformed answer");
    *reply = grpc->reply + MESSAGE_PREFIX;
    *reply_length = call.reply_length - MESSAGE_PREFIX;
    return 0;
}
