/* connection.c: see connection.h. */
#include "connection.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 80, MAX_AVOIDED = 8 };

/*
 * Addresses where nobody, or nobody of use, answers: eleven providers share three, and each would
 * cost a timeout.
 */
static char connection_avoided[MAX_AVOIDED][64];
static size_t connection_avoided_count;

int64_t connection_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool connection_is_avoided(const char *address)
{
    for (size_t i = 0; i < connection_avoided_count; i++)
        if (strcmp(connection_avoided[i], address) == 0)
            return true;
    return false;
}

void connection_avoid(const char *address)
{
    if (connection_avoided_count == MAX_AVOIDED || connection_is_avoided(address))
        return;
    char *note = connection_avoided[connection_avoided_count++];
    snprintf(note, sizeof connection_avoided[0], "%s", address);
}

/* The resolver has its own limits: two attempts of five seconds for each name server. */
static int connection_resolve(const char *address, struct sockaddr_in *found,
                              struct failure *failure)
{
    const struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    *found = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(PORT)};
    if (inet_pton(AF_INET, address, &found->sin_addr) == 1)
        return 0;
    int status = getaddrinfo(address, NULL, &hints, &list);
    if (status != 0)
        return failed(failure, "%s: %s", address, gai_strerror(status));
    found->sin_addr = ((const struct sockaddr_in *)(const void *)list->ai_addr)->sin_addr;
    freeaddrinfo(list);
    return 0;
}

/* Whether the socket is ready before the deadline; errno otherwise. */
static int connection_wait(const struct connection *connection, short events)
{
    struct pollfd ready = {.fd = connection->socket, .events = events};
    for (;;) {
        int64_t left = connection->deadline - connection_now();
        int count = left <= 0 ? 0 : poll(&ready, 1, (int)left);
        if (count > 0)
            return 0;
        if (count == 0)
            errno = ETIMEDOUT;
        if (errno != EINTR)
            return -1;
    }
}

static int connection_bind_privileged(int socket)
{
    struct sockaddr_in own = {.sin_family = AF_INET};
    for (in_port_t port = 1023; port > 512; port--) {
        own.sin_port = htons(port);
        if (bind(socket, (const struct sockaddr *)&own, sizeof own) == 0)
            return 0;
        if (errno != EADDRINUSE)
            return -1;
    }
    return -1;
}

static int connection_establish(struct connection *connection, const struct sockaddr_in *server)
{
    int reason = 0;
    socklen_t size = sizeof reason;
    if (connect(connection->socket, (const struct sockaddr *)server, sizeof *server) == 0)
        return 0;
    if (errno != EINPROGRESS || connection_wait(connection, POLLOUT) < 0)
        return -1;
    if (getsockopt(connection->socket, SOL_SOCKET, SO_ERROR, &reason, &size) < 0)
        return -1;
    errno = reason;
    return reason ? -1 : 0;
}

int connection_open(struct connection *connection, const char *address, bool privileged,
                    int64_t deadline, struct failure *failure)
{
    struct sockaddr_in server;
    if (connection_is_avoided(address))
        return failed(failure, "%s did not answer before", address);
    if (connection_resolve(address, &server, failure) < 0) {
        connection_avoid(address);
        return -1;
    }
    connection->deadline = deadline;
    connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (connection->socket < 0)
        return failed_errno(failure, "socket");
    if (privileged && connection_bind_privileged(connection->socket) < 0) {
        failed_errno(failure, "a port below 1024");
    } else if (connection_establish(connection, &server) == 0) {
        return 0;
    } else {
        failed_errno(failure, "%s", address);
        connection_avoid(address);
    }
    close(connection->socket);
    return -1;
}

int connection_write(const struct connection *connection, const char *bytes, size_t length,
                     struct failure *failure)
{
    while (length > 0) {
        ssize_t sent = send(connection->socket, bytes, length, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else if (errno != EINTR &&
                   (errno != EAGAIN || connection_wait(connection, POLLOUT) < 0)) {
            return failed_errno(failure, "sending");
        }
    }
    return 0;
}

ssize_t connection_read(const struct connection *connection, char *bytes, size_t size,
                        struct failure *failure)
{
    for (;;) {
        /* First of all: a server that never stops must not keep us. */
        if (connection_wait(connection, POLLIN) < 0)
            return failed_errno(failure, "receiving");
        ssize_t count = recv(connection->socket, bytes, size, 0);
        if (count >= 0)
            return count;
        if (errno != EINTR && errno != EAGAIN)
            return failed_errno(failure, "receiving");
    }
}
