/* web.c: see web.h. */
#include "web/web.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_REQUEST = 8192, MAX_CLIENTS = 16 };

static _Noreturn void web_die(const struct web_place *place, const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", place->name, what, why);
    exit(1);
}

/* -1 with errno. */
static int web_listen_at(const struct addrinfo *address)
{
    int yes = 1, no = 0;
    int listener = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return -1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (address->ai_family == AF_INET6)
        setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(listener, address->ai_addr, address->ai_addrlen) == 0 && listen(listener, 64) == 0)
        return listener;
    int reason = errno;
    close(listener);
    errno = reason;
    return -1;
}

/* Without an address every one of the machine, of IPv6 and IPv4, or of IPv4 alone. */
static int web_listen(const struct web_place *place)
{
    const char *const tries[] = {*place->ip ? place->ip : "::", *place->ip ? NULL : "0.0.0.0"};
    char service[16];
    snprintf(service, sizeof service, "%ld", place->port);
    for (int i = 0; i < 2 && tries[i]; i++) {
        struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                 .ai_socktype = SOCK_STREAM};
        struct addrinfo *address;
        int result = getaddrinfo(tries[i], service, &hints, &address);
        if (result != 0)
            web_die(place, tries[i], gai_strerror(result));
        int listener = web_listen_at(address);
        freeaddrinfo(address);
        if (listener >= 0)
            return listener;
    }
    web_die(place, service, strerror(errno));
}

static void web_send(int client, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = send(client, bytes, length, MSG_NOSIGNAL);
        if (count <= 0)
            return;
        bytes += count;
        length -= (size_t)count;
    }
}

/* Closed with bytes unread, a connection would be reset, and the answer lost. */
static void web_end(int client)
{
    char rest[MAX_REQUEST];
    shutdown(client, SHUT_WR);
    while (recv(client, rest, sizeof rest, 0) > 0)
        continue;
}

void web_answer(int client, const char *status, const char *type, const struct text *body)
{
    struct text head = {0};
    text_add(&head,
             "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             status, type, body->length);
    web_send(client, head.bytes, head.length);
    if (body->length)
        web_send(client, body->bytes, body->length);
}

void web_say(int client, const char *status, const char *line)
{
    struct text body = {0};
    text_add(&body, "%s\n", line);
    web_answer(client, status, "text/plain", &body);
}

/* What a GET asks for, without the slash in front; NULL for another request. */
static char *web_target(char *request)
{
    if (strncmp(request, "GET /", 5) != 0)
        return NULL;
    char *target = request + 5;
    target[strcspn(target, " \r\n")] = 0;
    return target;
}

/* Reads up to the empty line behind the request's head; false without one. */
static bool web_receive(int client, char *request)
{
    size_t length = 0;
    while (length < MAX_REQUEST - 1) {
        ssize_t count = recv(client, request + length, MAX_REQUEST - 1 - length, 0);
        if (count <= 0)
            return false;
        length += (size_t)count;
        request[length] = 0;
        if (strstr(request, "\r\n\r\n"))
            return true;
    }
    return false;
}

static void web_serve_one(int client, web_handler *handler, void *context)
{
    char request[MAX_REQUEST];
    if (!web_receive(client, request)) {
        web_say(client, "400 Bad Request", "no request that is served here");
        return;
    }
    char *target = web_target(request);
    if (!target) {
        web_say(client, "405 Method Not Allowed", "only GET");
        return;
    }
    char *query = strchr(target, '?');
    if (query)
        *query++ = 0;
    handler(context, client, target, query ? query : "");
}

/* Waits until there is room for one more process. */
static void web_reap(int *running)
{
    while (*running > 0 && waitpid(-1, NULL, *running < MAX_CLIENTS ? WNOHANG : 0) > 0)
        --*running;
}

void web_serve(const struct web_place *place, web_handler *handler, void *context)
{
    int running = 0;
    int listener = web_listen(place);
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        web_reap(&running);
        pid_t child = client < 0 ? -1 : fork();
        if (child == 0) {
            alarm(place->patience);
            web_serve_one(client, handler, context);
            web_end(client);
            _exit(0);
        }
        running += child > 0;
        if (client >= 0)
            close(client);
        else if (errno != EINTR && errno != ECONNABORTED)
            sleep(1);
    }
}
