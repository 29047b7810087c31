/* syslog.c: see syslog.h. */
#include "log/syslog.h"

#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 2700, WAITING = 65536, RETRY_SECONDS = 2, RESTING = 10 };

/* One server. Several services may name the same. */
struct server {
    const char *address;
    int channel;
    bool stream;           /* TCP */
    time_t again;          /* no attempt to connect before (seconds since the kernel's start) */
    char waiting[WAITING]; /* framed messages, one behind the other, each behind its length */
    size_t length;
    unsigned long lost;
    struct server *next;
};

static struct server *syslog_servers;

static struct server *syslog_server_of(const char *address)
{
    for (struct server *server = syslog_servers; server; server = server->next)
        if (strcmp(server->address, address) == 0)
            return server;
    struct server *server = calloc(1, sizeof *server);
    if (!server)
        return NULL;
    server->address = address;
    server->channel = -1;
    server->stream = strncmp(address, "tcp:", 4) == 0;
    server->next = syslog_servers;
    syslog_servers = server;
    return server;
}

/* Splits scheme://HOST:PORT; an IPv6 address stands in brackets. */
static int syslog_split(const char *address, char *host, size_t size, const char **port)
{
    const char *begin = strstr(address, "://");
    const char *colon = strrchr(address, ':');
    if (!begin || colon <= begin + 2)
        return -1;
    begin += 3;
    const char *end = colon;
    if (*begin == '[' && end > begin && end[-1] == ']') {
        begin++;
        end--;
    }
    size_t length = (size_t)(end - begin);
    if (length == 0 || length >= size)
        return -1;
    memcpy(host, begin, length);
    host[length] = '\0';
    *port = colon + 1;
    return 0;
}

static int syslog_reach(const struct addrinfo *found)
{
    const struct timeval timeout = {.tv_sec = 2};
    for (; found; found = found->ai_next) {
        int channel =
            socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, found->ai_protocol);
        if (channel < 0)
            continue;
        setsockopt(channel, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
        if (connect(channel, found->ai_addr, found->ai_addrlen) == 0)
            return channel;
        close(channel);
    }
    return -1;
}

static time_t syslog_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec;
}

static void syslog_connect_server(struct server *server)
{
    char host[256];
    const char *port;
    struct addrinfo *found;
    const struct addrinfo hints = {.ai_socktype = server->stream ? SOCK_STREAM : SOCK_DGRAM};
    time_t begun = syslog_seconds();
    if (server->channel >= 0 || begun < server->again)
        return;
    if (syslog_split(server->address, host, sizeof host, &port) == 0 &&
        getaddrinfo(host, port, &hints, &found) == 0) {
        server->channel = syslog_reach(found);
        freeaddrinfo(found);
    }
    /*
     * Nobody's logs move meanwhile: a server, or a resolver, that lets one wait is asked the less
     * often.
     */
    time_t now = syslog_seconds();
    server->again = now + RETRY_SECONDS + RESTING * (now - begun);
}

static int syslog_send_all(int channel, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t count = send(channel, bytes, length, MSG_NOSIGNAL);
        if (count <= 0)
            return -1;
        bytes += count;
        length -= (size_t)count;
    }
    return 0;
}

/* A server that has closed its end is noticed before a message is lost to it. */
static bool syslog_is_open(const struct server *server)
{
    struct pollfd state = {.fd = server->channel, .events = POLLIN};
    char byte;
    if (!server->stream || poll(&state, 1, 0) == 0)
        return true;
    return recv(server->channel, &byte, 1, MSG_DONTWAIT | MSG_PEEK) > 0;
}

/* Sends what waits, oldest first. */
static void syslog_send_waiting(struct server *server)
{
    size_t at = 0;
    syslog_connect_server(server);
    while (server->channel >= 0 && at < server->length) {
        size_t length;
        memcpy(&length, server->waiting + at, sizeof length);
        if (!syslog_is_open(server) ||
            syslog_send_all(server->channel, server->waiting + at + sizeof length, length) < 0) {
            close(server->channel);
            server->channel = -1;
            break;
        }
        at += sizeof length + length;
    }
    memmove(server->waiting, server->waiting + at, server->length - at);
    server->length -= at;
}

static void syslog_queue(struct server *server, const char *message, size_t length)
{
    char frame[16] = "";
    size_t prefix = server->stream ? (size_t)snprintf(frame, sizeof frame, "%zu ", length) : 0;
    size_t whole = prefix + length;
    if (sizeof whole + whole > sizeof server->waiting - server->length) {
        server->lost++;
        return;
    }
    char *at = server->waiting + server->length;
    at = mempcpy(at, &whole, sizeof whole);
    at = mempcpy(at, frame, prefix);
    memcpy(at, message, length);
    server->length += sizeof whole + whole;
}

/* RFC 5424 section 6: PRI VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA MSG. */
size_t syslog_message(char *text, size_t size, const char *host, const char *tag, bool error,
                      const struct timespec *now, const char *line)
{
    enum { DAEMON = 3 << 3, ERROR = 3, INFORMATION = 6 };
    char date[32];
    struct tm parts;
    gmtime_r(&now->tv_sec, &parts);
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts);
    int length = snprintf(text, size, "<%d>1 %s.%06ldZ %.255s %.48s - - - %s",
                          DAEMON | (error ? ERROR : INFORMATION), date, now->tv_nsec / 1000,
                          *host ? host : "-", tag, line);
    return length < 0 ? 0 : (size_t)length < size ? (size_t)length : size - 1;
}

static void syslog_queue_line(struct server *server, const char *tag, bool error, const char *line)
{
    char text[MESSAGE];
    struct utsname names;
    struct timespec now;
    uname(&names);
    clock_gettime(CLOCK_REALTIME, &now);
    syslog_queue(server, text,
                 syslog_message(text, sizeof text, names.nodename, tag, error, &now, line));
}

void syslog_send(const char *address, const char *tag, bool error, const char *line)
{
    struct server *server = syslog_server_of(address);
    if (!server)
        return;
    syslog_queue_line(server, tag, error, line);
    syslog_send_waiting(server);
    if (server->lost > 0 && server->channel >= 0) {
        char text[64];
        snprintf(text, sizeof text, "%lu lines could not be sent", server->lost);
        server->lost = 0;
        syslog_queue_line(server, "compos", true, text);
        syslog_send_waiting(server);
    }
}

void syslog_finish(void)
{
    for (struct server *server = syslog_servers; server; server = server->next) {
        server->again = 0;
        syslog_send_waiting(server);
    }
}
