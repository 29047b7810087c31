/* clients.c: see clients.h. */
#include "clients.h"

#include "protocol/protocol.h"
#include "ring.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A client is a place in the ring, and the line that is being sent: one that reads slowly costs no
 * memory, and loses what is overwritten meanwhile.
 */
struct client {
    int stream;
    bool asked;
    uint64_t next;
    uint64_t end; /* UINT64_MAX: it follows */
    char *line;
    size_t sent;
    size_t length;
};

static struct client clients_all[MAX_CLIENTS];
static size_t clients_count;

static void clients_drop(size_t index)
{
    close(clients_all[index].stream);
    free(clients_all[index].line);
    clients_count--;
    memmove(&clients_all[index], &clients_all[index + 1],
            (clients_count - index) * sizeof *clients_all);
}

void clients_accept(int query_socket)
{
    int stream = accept4(query_socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (stream < 0)
        return;
    if (clients_count == MAX_CLIENTS)
        clients_drop(0);
    clients_all[clients_count++] = (struct client){.stream = stream};
}

static bool clients_has_more(const struct client *client)
{
    uint64_t end = client->end < ring_end() ? client->end : ring_end();
    return client->line || (client->asked && client->next < end);
}

size_t clients_poll(struct pollfd *polled)
{
    for (size_t i = 0; i < clients_count; i++) {
        short events = POLLIN;
        if (clients_has_more(&clients_all[i]))
            events |= POLLOUT;
        polled[i] = (struct pollfd){.fd = clients_all[i].stream, .events = events};
    }
    return clients_count;
}

/* Whether the client is still there. What it sends behind its query is dropped. */
static bool clients_read_query(struct client *client)
{
    unsigned char bytes[64];
    ssize_t count = read(client->stream, bytes, sizeof bytes);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    if (count == 0 || client->asked)
        return count > 0;
    if (bytes[0] >= QUERIES)
        return false;
    client->asked = true;
    client->next = bytes[0] == QUERY_FOLLOW ? ring_end() : ring_first();
    client->end = bytes[0] == QUERY_DUMP ? ring_end() : UINT64_MAX;
    return true;
}

/* The next line that it has not seen, if there is one. */
static bool clients_next_line(struct client *client)
{
    if (client->next < ring_first())
        client->next = ring_first();
    if (client->next >= ring_end() || client->next >= client->end)
        return false;
    client->line = ring_format(client->next++, &client->length);
    client->sent = 0;
    return client->line != NULL;
}

/* Sends until it would block. Whether the client is still there. */
static bool clients_send(struct client *client)
{
    enum { TURN = 256 };
    for (int lines = 0; lines < TURN && (client->line || clients_next_line(client)); lines++) {
        while (client->sent < client->length) {
            ssize_t count = send(client->stream, client->line + client->sent,
                                 client->length - client->sent, MSG_NOSIGNAL);
            if (count < 0)
                return errno == EAGAIN || errno == EINTR;
            client->sent += (size_t)count;
        }
        free(client->line);
        client->line = NULL;
    }
    return true;
}

static bool clients_serve_one(struct client *client, short events)
{
    if ((events & (POLLIN | POLLHUP | POLLERR)) && !clients_read_query(client))
        return false;
    if (client->asked && !clients_send(client))
        return false;
    return !client->asked || client->line || client->next < client->end;
}

void clients_serve(const struct pollfd *polled, size_t count)
{
    for (size_t i = count; i-- > 0;)
        if (polled[i].revents && !clients_serve_one(&clients_all[i], polled[i].revents))
            clients_drop(i);
}
