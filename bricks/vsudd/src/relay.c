/* relay.c: see relay.h. */
#include "relay.h"

#include "protocol/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_PAIRS = 256, BLOCK = 16384 };

/* One direction: what was read and has not been written yet. */
struct relay_flow {
    char bytes[BLOCK];
    size_t at;
    size_t end;
    bool ended; /* nothing more to read */
    bool shut;  /* and whoever reads it knows */
};

/* sides[0] came in; flows[i] goes from sides[i] to the other. */
struct relay_pair {
    int sides[2];
    struct relay_flow flows[2];
};

static struct relay_pair *relay_pairs[MAX_PAIRS];
static size_t relay_count;

static void relay_add(int incoming, const char *path)
{
    struct failure failure;
    struct relay_pair *pair = NULL;
    int outgoing = -1;
    if (relay_count == MAX_PAIRS)
        failed(&failure, "%s: too many connections", path);
    else if (!(pair = calloc(1, sizeof *pair)))
        failed_errno(&failure, "%s", path);
    else if ((outgoing = protocol_connect(path, SOCK_STREAM, &failure)) >= 0) {
        fcntl(incoming, F_SETFL, O_NONBLOCK);
        fcntl(outgoing, F_SETFL, O_NONBLOCK);
        pair->sides[0] = incoming;
        pair->sides[1] = outgoing;
        relay_pairs[relay_count++] = pair;
        return;
    }
    fprintf(stderr, "vsudd: %s\n", failure.text);
    free(pair);
    close(incoming);
}

static void relay_remove(size_t index)
{
    struct relay_pair *pair = relay_pairs[index];
    close(pair->sides[0]);
    close(pair->sides[1]);
    free(pair);
    relay_pairs[index] = relay_pairs[--relay_count];
}

/* Reads if there is room, and writes what there is; -1 if one of the sides is broken. */
static int relay_move(struct relay_flow *flow, int from, int to)
{
    if (flow->at == flow->end && !flow->ended) {
        ssize_t count = recv(from, flow->bytes, BLOCK, MSG_DONTWAIT);
        if (count < 0 && errno != EAGAIN && errno != EINTR)
            return -1;
        flow->ended = count == 0;
        flow->at = 0;
        flow->end = count > 0 ? (size_t)count : 0;
    }
    if (flow->at < flow->end) {
        ssize_t count =
            send(to, flow->bytes + flow->at, flow->end - flow->at, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno != EAGAIN && errno != EINTR)
            return -1;
        flow->at += count > 0 ? (size_t)count : 0;
    }
    if (flow->ended && flow->at == flow->end && !flow->shut) {
        flow->shut = true;
        shutdown(to, SHUT_WR);
    }
    return 0;
}

/* What a side is waited for. One with nothing to wait for is left out: its end is known. */
static struct pollfd relay_poll_side(const struct relay_pair *pair, int side)
{
    const struct relay_flow *out = &pair->flows[side], *in = &pair->flows[1 - side];
    short events = 0;
    if (!out->ended && out->at == out->end)
        events |= POLLIN;
    if (in->at < in->end)
        events |= POLLOUT;
    return (struct pollfd){.fd = events ? pair->sides[side] : -1, .events = events};
}

static void relay_serve_pairs(const struct pollfd *polled, size_t count)
{
    for (size_t i = count; i-- > 0;) {
        struct relay_pair *pair = relay_pairs[i];
        if (!polled[2 * i].revents && !polled[2 * i + 1].revents)
            continue;
        if (relay_move(&pair->flows[0], pair->sides[0], pair->sides[1]) < 0 ||
            relay_move(&pair->flows[1], pair->sides[1], pair->sides[0]) < 0 ||
            (pair->flows[0].shut && pair->flows[1].shut))
            relay_remove(i);
    }
}

_Noreturn void relay_serve(const struct relay_port *ports, size_t count)
{
    static struct pollfd polled[MAX_PORTS + 2 * MAX_PAIRS];
    for (;;) {
        for (size_t i = 0; i < count; i++)
            polled[i] = (struct pollfd){.fd = ports[i].listener, .events = POLLIN};
        for (size_t i = 0; i < relay_count; i++)
            for (int side = 0; side < 2; side++)
                polled[count + 2 * i + (size_t)side] = relay_poll_side(relay_pairs[i], side);
        if (poll(polled, count + 2 * relay_count, -1) < 0)
            continue;
        relay_serve_pairs(polled + count, relay_count);
        for (size_t i = 0; i < count; i++) {
            int incoming =
                polled[i].revents ? accept4(ports[i].listener, NULL, NULL, SOCK_CLOEXEC) : -1;
            if (incoming >= 0)
                relay_add(incoming, ports[i].path);
        }
    }
}
