/*
 * grpc.c: see grpc.h. The peer is not trusted: every length is checked, memory is bounded, every
 * wait has an end.
 */
#include "containerd/grpc.h"

#include "containerd/hpack.h"
#include "containerd/wire.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* RFC 9113 section 6: frame types and flags; section 6.5.2: settings; section 7: error codes. */
enum {
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION
};
enum { END_STREAM = 0x1, ACK = 0x1, END_HEADERS = 0x4, PADDED = 0x8, WITH_PRIORITY = 0x20 };
enum { HEADER_TABLE_SIZE = 1, ENABLE_PUSH = 2, INITIAL_WINDOW_SIZE = 4 };
enum { CANCEL = 8 };

enum {
    MAX_BLOCK = 64 * 1024,        /* a header block */
    MIN_REPLY = 64 * 1024,        /* what is taken first for an answer */
    MAX_REPLY = 16 * 1024 * 1024, /* containerd's defaults.DefaultMaxSendMsgSize */
    WINDOW = 65535,               /* before any WINDOW_UPDATE (section 6.9.2) */
    MAX_WINDOW = 0x7fffffff,
    MESSAGE_PREFIX = 5,
    MESSAGE_SIZE = 512,
};

static const char grpc_preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
static const char grpc_malformed[] = "the server sent a malformed frame";

struct grpc {
    struct wire wire;
    bool broken;  /* the two sides no longer agree where a frame begins, or what was said */
    bool leaving; /* GOAWAY: no further call */
    int status;
    uint32_t stream;
    int64_t window;         /* what the peer takes on the connection */
    int64_t initial_window; /* what it takes on a new stream */
    uint32_t block_stream;  /* whose header block is under way; 0: none */
    bool block_ends_stream;
    size_t block_length;
    uint8_t block[MAX_BLOCK];
    struct frame frame;
    uint8_t *reply;
    size_t reply_size;
};

/* One call under way. */
struct call {
    struct grpc *grpc;
    int64_t window;
    size_t reply_length;
    bool ended;
    char message[MESSAGE_SIZE];
    struct failure *failure;
};

static int grpc_fail(struct call *call, const char *what)
{
    return failed(call->failure, "%s", what);
}

static int grpc_fail_wire(struct call *call)
{
    if (errno == EMSGSIZE)
        return grpc_fail(call, grpc_malformed);
    if (errno == ETIMEDOUT)
        return failed(call->failure, "the server did not answer within %d s",
                      WIRE_TIMEOUT_MS / 1000);
    return failed_errno(call->failure, "the connection was lost");
}

static int grpc_send_frame(struct call *call, uint8_t type, uint8_t flags, uint32_t stream,
                           const void *body, size_t length)
{
    return wire_send_frame(&call->grpc->wire, type, flags, stream, body, length) < 0
               ? grpc_fail_wire(call)
               : 0;
}

static int grpc_send_number(struct call *call, uint8_t type, uint32_t stream, uint32_t number)
{
    uint8_t body[4];
    wire_put32(body, number);
    return grpc_send_frame(call, type, 0, stream, body, sizeof body);
}

struct grpc *grpc_connect(const char *path, struct failure *failure)
{
    /* Our settings: no dynamic header table, no pushes. */
    static const uint8_t settings[] = {0, HEADER_TABLE_SIZE, 0, 0, 0, 0,
                                       0, ENABLE_PUSH,       0, 0, 0, 0};
    struct grpc *grpc = calloc(1, sizeof *grpc);
    if (!grpc) {
        failed(failure, "out of memory");
        return NULL;
    }
    grpc->window = grpc->initial_window = WINDOW;
    grpc->status = GRPC_NONE;
    if (wire_connect(&grpc->wire, path) < 0 ||
        wire_send(&grpc->wire, grpc_preface, sizeof grpc_preface - 1) < 0 ||
        wire_send_frame(&grpc->wire, SETTINGS, 0, 0, settings, sizeof settings) < 0) {
        failed_errno(failure, "%s", path);
        grpc_close(grpc);
        return NULL;
    }
    return grpc;
}

void grpc_close(struct grpc *grpc)
{
    if (!grpc)
        return;
    wire_close(&grpc->wire);
    free(grpc->reply);
    free(grpc);
}

int grpc_status(const struct grpc *grpc)
{
    return grpc->status;
}

static int grpc_hex_digit(char letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    letter = (char)(letter | 0x20);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* grpc-message is percent-encoded; what is no code stands for itself. */
static void grpc_decode_message(char *out, const char *value)
{
    size_t used = 0;
    for (const char *at = value; *at && used + 1 < MESSAGE_SIZE; at++) {
        unsigned char letter = (unsigned char)*at;
        if (*at == '%' && grpc_hex_digit(at[1]) >= 0 && grpc_hex_digit(at[2]) >= 0) {
            letter = (unsigned char)(grpc_hex_digit(at[1]) << 4 | grpc_hex_digit(at[2]));
            at += 2;
        }
        /* It is shown on a terminal. */
        bool control = (letter < ' ' && letter != '\n' && letter != '\t') || letter == 0x7f;
        out[used++] = control ? '?' : (char)letter;
    }
    out[used] = '\0';
}

static void grpc_take_header(void *context, const char *name, const char *value)
{
    struct call *call = context;
    if (strcmp(name, "grpc-message") == 0) {
        grpc_decode_message(call->message, value);
    } else if (strcmp(name, "grpc-status") == 0) {
        size_t digits = strspn(value, "0123456789");
        bool number = digits > 0 && digits < 4 && !value[digits];
        call->grpc->status = number ? (int)strtol(value, NULL, 10) : GRPC_UNKNOWN;
    }
}

/* Cuts padding and priority off a HEADERS or DATA frame (sections 6.1 and 6.2). */
static int grpc_unpadded(const struct frame *frame, const uint8_t **body, size_t *length)
{
    size_t front = 0, back = 0;
    if (frame->flags & PADDED) {
        if (frame->length < 1)
            return -1;
        back = frame->body[0];
        front = 1;
    }
    if (frame->type == HEADERS && frame->flags & WITH_PRIORITY)
        front += 5;
    if (front + back > frame->length)
        return -1;
    *body = frame->body + front;
    *length = frame->length - front - back;
    return 0;
}

static int grpc_grow_reply(struct grpc *grpc, size_t length)
{
    size_t size = grpc->reply_size ? grpc->reply_size : MIN_REPLY;
    while (size < length)
        size *= 2;
    if (size == grpc->reply_size)
        return 0;
    uint8_t *reply = size <= MAX_REPLY ? realloc(grpc->reply, size) : NULL;
    if (!reply)
        return -1;
    grpc->reply = reply;
    grpc->reply_size = size;
    return 0;
}

static int grpc_take_data(struct call *call, const struct frame *frame)
{
    struct grpc *grpc = call->grpc;
    const uint8_t *body;
    size_t length;
    if (!frame->stream || grpc_unpadded(frame, &body, &length) < 0)
        return grpc_fail(call, grpc_malformed);
    if (frame->stream == grpc->stream) {
        if (grpc_grow_reply(grpc, call->reply_length + length) < 0)
            return grpc_fail(call, "the response is too long");
        memcpy(grpc->reply + call->reply_length, body, length);
        call->reply_length += length;
        call->ended = frame->flags & END_STREAM;
        if (frame->length && !call->ended &&
            grpc_send_number(call, WINDOW_UPDATE, grpc->stream, (uint32_t)frame->length) < 0)
            return -1;
    }
    /* An earlier stream's data counts on the connection too (section 6.9). */
    return frame->length ? grpc_send_number(call, WINDOW_UPDATE, 0, (uint32_t)frame->length) : 0;
}

/*
 * HEADERS and the CONTINUATION frames behind them, between which nothing else may come (section
 * 6.10).
 */
static int grpc_take_headers(struct call *call, const struct frame *frame)
{
    struct grpc *grpc = call->grpc;
    const uint8_t *body = frame->body;
    size_t length = frame->length;
    if (frame->type == HEADERS) {
        if (!frame->stream || grpc_unpadded(frame, &body, &length) < 0)
            return grpc_fail(call, grpc_malformed);
        grpc->block_stream = frame->stream;
        grpc->block_ends_stream = frame->flags & END_STREAM;
        grpc->block_length = 0;
    }
    if (length > MAX_BLOCK - grpc->block_length)
        return grpc_fail(call, "the response's headers are too long");
    memcpy(grpc->block + grpc->block_length, body, length);
    grpc->block_length += length;
    if (!(frame->flags & END_HEADERS))
        return 0;
    grpc->block_stream = 0;
    if (frame->stream != grpc->stream)
        return 0;
    if (hpack_walk(grpc->block, grpc->block_length, grpc_take_header, call) < 0)
        return grpc_fail(call, "the response's headers are malformed");
    call->ended = grpc->block_ends_stream;
    return 0;
}

static int grpc_take_settings(struct call *call, const struct frame *frame)
{
    struct grpc *grpc = call->grpc;
    if (frame->stream || frame->length % 6 || (frame->flags & ACK && frame->length))
        return grpc_fail(call, grpc_malformed);
    if (frame->flags & ACK)
        return 0;
    for (size_t at = 0; at < frame->length; at += 6) {
        int64_t value = wire_get32(frame->body + at + 2);
        if ((frame->body[at] << 8 | frame->body[at + 1]) != INITIAL_WINDOW_SIZE)
            continue;
        if (value > MAX_WINDOW)
            return grpc_fail(call, grpc_malformed);
        call->window += value - grpc->initial_window;
        grpc->initial_window = value;
    }
    return grpc_send_frame(call, SETTINGS, ACK, 0, "", 0);
}

static int grpc_take_window_update(struct call *call, const struct frame *frame)
{
    struct grpc *grpc = call->grpc;
    uint32_t increment = frame->length == 4 ? wire_get32(frame->body) & MAX_WINDOW : 0;
    if (!increment)
        return grpc_fail(call, grpc_malformed);
    if (frame->stream && frame->stream != grpc->stream)
        return 0;
    int64_t *window = frame->stream ? &call->window : &grpc->window;
    *window += increment;
    return *window > MAX_WINDOW ? grpc_fail(call, grpc_malformed) : 0;
}

static int grpc_take_reset(struct call *call, const struct frame *frame)
{
    if (frame->length != 4 || !frame->stream)
        return grpc_fail(call, grpc_malformed);
    if (frame->stream != call->grpc->stream)
        return 0;
    call->grpc->status = GRPC_NONE;
    snprintf(call->message, sizeof call->message, "the server aborted the call");
    call->ended = true;
    return 0;
}

/* Streams up to the one named are still answered (section 6.8). */
static int grpc_take_goaway(struct call *call, const struct frame *frame)
{
    if (frame->length < 8 || frame->stream)
        return grpc_fail(call, grpc_malformed);
    call->grpc->leaving = true;
    bool answered = (wire_get32(frame->body) & MAX_WINDOW) >= call->grpc->stream;
    return answered ? 0 : grpc_fail(call, "the server is going away");
}

/* Reads one frame and does what it asks for. */
static int grpc_take_frame(struct call *call)
{
    struct grpc *grpc = call->grpc;
    const struct frame *frame = &grpc->frame;
    if (wire_receive_frame(&grpc->wire, &grpc->frame) < 0)
        return grpc_fail_wire(call);
    bool continues = frame->type == CONTINUATION;
    if (continues != (grpc->block_stream != 0) ||
        (continues && frame->stream != grpc->block_stream))
        return grpc_fail(call, grpc_malformed);
    switch (frame->type) {
    case SETTINGS:
        return grpc_take_settings(call, frame);
    case PING:
        if (frame->length != 8 || frame->stream)
            return grpc_fail(call, grpc_malformed);
        return frame->flags & ACK ? 0
                                  : grpc_send_frame(call, PING, ACK, 0, frame->body, frame->length);
    case WINDOW_UPDATE:
        return grpc_take_window_update(call, frame);
    case GOAWAY:
        return grpc_take_goaway(call, frame);
    case RST_STREAM:
        return grpc_take_reset(call, frame);
    case DATA:
        return grpc_take_data(call, frame);
    case HEADERS:
    case CONTINUATION:
        return grpc_take_headers(call, frame);
    case PUSH_PROMISE: /* we forbade it */
        return grpc_fail(call, grpc_malformed);
    default: /* PRIORITY, and types that we do not know, mean nothing (section 4.1) */
        return 0;
    }
}

/* A literal header field without indexing, name and value as they are (RFC 7541 section 6.2.2). */
static size_t grpc_put_header(uint8_t *out, size_t at, size_t size, const char *name,
                              const char *value)
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

static int grpc_send_headers(struct call *call, const char *path, const char *key,
                             const char *value)
{
    uint8_t block[1024];
    const char *headers[][2] = {{":method", "POST"}, {":scheme", "http"},
                                {":path", path},     {":authority", "localhost"},
                                {"te", "trailers"},  {"content-type", "application/grpc"},
                                {key, value}};
    size_t used = 0;
    for (size_t index = 0; index < sizeof headers / sizeof *headers; index++)
        used = grpc_put_header(block, used, sizeof block, headers[index][0], headers[index][1]);
    if (used > sizeof block)
        return grpc_fail(call, "a header of the call is too long");
    return grpc_send_frame(call, HEADERS, END_HEADERS, call->grpc->stream, block, used);
}

/* How much of `wanted` bytes may go in one frame now. */
static size_t grpc_allowed(const struct call *call, size_t wanted)
{
    int64_t window = call->window < call->grpc->window ? call->window : call->grpc->window;
    size_t most = wanted < MAX_FRAME ? wanted : MAX_FRAME;
    if (window <= 0)
        return 0;
    return window < (int64_t)most ? (size_t)window : most;
}

/*
 * Sends the request in frames, as fast as the peer's windows let us; less than all of it when the
 * peer ends the call.
 */
static int grpc_send_message(struct call *call, const uint8_t *request, size_t length)
{
    struct grpc *grpc = call->grpc;
    uint8_t prefix[MESSAGE_PREFIX] = {0}, chunk[MAX_FRAME];
    wire_put32(prefix + 1, (uint32_t)length);
    size_t sent = 0, total = length + MESSAGE_PREFIX;
    while (sent < total && !call->ended) {
        size_t room = grpc_allowed(call, total - sent);
        if (!room) {
            if (grpc_take_frame(call) < 0)
                return -1;
            continue;
        }
        size_t head = sent < MESSAGE_PREFIX ? MESSAGE_PREFIX - sent : 0;
        head = head < room ? head : room;
        memcpy(chunk, prefix + (head ? sent : 0), head);
        if (room > head)
            memcpy(chunk + head, request + (sent + head - MESSAGE_PREFIX), room - head);
        sent += room;
        const uint8_t flags = sent == total ? END_STREAM : 0;
        if (grpc_send_frame(call, DATA, flags, grpc->stream, chunk, room) < 0)
            return -1;
        grpc->window -= (int64_t)room;
        call->window -= (int64_t)room;
    }
    return sent < total ? grpc_send_number(call, RST_STREAM, grpc->stream, CANCEL) : 0;
}

static int grpc_take_answer(struct call *call)
{
    while (!call->ended)
        if (grpc_take_frame(call) < 0)
            return -1;
    return 0;
}

int grpc_call(struct grpc *grpc, const char *path, const char *key, const char *value,
              const uint8_t *request, size_t request_length, const uint8_t **reply,
              size_t *reply_length, struct failure *failure)
{
    struct call call = {.grpc = grpc, .window = grpc->initial_window, .failure = failure};
    grpc->status = GRPC_NONE;
    if (grpc->broken)
        return grpc_fail(&call, "the connection is broken");
    if (grpc->leaving)
        return grpc_fail(&call, "the server is going away");
    /* A client's streams are odd (section 5.1.1). */
    grpc->stream = grpc->stream ? grpc->stream + 2 : 1;
    wire_begin(&grpc->wire);
    if (grpc_send_headers(&call, path, key, value) < 0 ||
        grpc_send_message(&call, request, request_length) < 0 || grpc_take_answer(&call) < 0) {
        grpc->broken = true;
        grpc->status = GRPC_NONE;
        return -1;
    }
    if (grpc->status != GRPC_OK)
        return grpc_fail(&call, call.message[0] ? call.message
                                                : "the server refused the call without a reason");
    if (call.reply_length < MESSAGE_PREFIX || grpc->reply[0] ||
        wire_get32(grpc->reply + 1) != call.reply_length - MESSAGE_PREFIX)
        return grpc_fail(&call, "the response is malformed");
    *reply = grpc->reply + MESSAGE_PREFIX;
    *reply_length = call.reply_length - MESSAGE_PREFIX;
    return 0;
}
