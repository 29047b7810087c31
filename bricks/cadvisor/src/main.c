/*
 * main.c: cadvisor [-port 8080] [-listen_ip ADDRESS] [-docker_root DIR] [-cgroup_root DIR]
 * [-proc_root DIR]: metrics of containers for Prometheus, by cAdvisor's names. Each request is
 * served by a process of its own, for ten seconds at most.
 */
#include "groups.h"
#include "metrics.h"
#include "processes.h"
#include "protocol/options.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_REQUEST = 8192, MAX_CLIENTS = 16, PATIENCE = 10 };

static _Noreturn void main_die(const char *what, const char *why)
{
    fprintf(stderr, "cadvisor: %s: %s\n", what, why);
    exit(1);
}

/* -1 with errno. */
static int main_listen_at(const struct addrinfo *address)
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
static int main_listen(const char *ip, long port)
{
    const char *const tries[] = {*ip ? ip : "::", *ip ? NULL : "0.0.0.0"};
    char service[16];
    snprintf(service, sizeof service, "%ld", port);
    for (int i = 0; i < 2 && tries[i]; i++) {
        struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                 .ai_socktype = SOCK_STREAM};
        struct addrinfo *address;
        int result = getaddrinfo(tries[i], service, &hints, &address);
        if (result != 0)
            main_die(tries[i], gai_strerror(result));
        int listener = main_listen_at(address);
        freeaddrinfo(address);
        if (listener >= 0)
            return listener;
    }
    main_die(service, strerror(errno));
}

static void main_send(int client, const char *bytes, size_t length)
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
static void main_end(int client)
{
    char rest[MAX_REQUEST];
    shutdown(client, SHUT_WR);
    while (recv(client, rest, sizeof rest, 0) > 0)
        continue;
}

static void main_answer(int client, const char *status, const char *type, const struct text *body)
{
    struct text head = {0};
    text_add(&head,
             "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
             status, type, body->length);
    main_send(client, head.bytes, head.length);
    if (body->length)
        main_send(client, body->bytes, body->length);
}

static void main_say(int client, const char *status, const char *line)
{
    struct text body = {0};
    text_add(&body, "%s\n", line);
    main_answer(client, status, "text/plain", &body);
}

static void main_measure(const struct places *places, struct text *page)
{
    struct utsname kernel;
    struct text labels = {0};
    double memory;
    uname(&kernel);
    text_add_label(&labels, "cadvisorVersion", "compos");
    text_add_label(&labels, "kernelVersion", kernel.release);
    metrics_add(VERSION, labels.bytes, 1);
    metrics_add(MACHINE_CORES, "", (double)sysconf(_SC_NPROCESSORS_ONLN));
    if (processes_memory(places->processes, "MemTotal:", &memory))
        metrics_add(MACHINE_MEMORY, "", memory);
    groups_measure(places);
    metrics_write(page);
}

/* The request's path, without what follows a question mark; NULL if it is none that is served. */
static const char *main_path(char *request)
{
    if (strncmp(request, "GET /", 5) != 0)
        return NULL;
    char *path = request + 4;
    path[strcspn(path, " ?\r\n")] = 0;
    return path;
}

/* Reads up to the empty line behind the request's head; false without one. */
static bool main_receive(int client, char *request)
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

static void main_serve(int client, const struct places *places)
{
    char request[MAX_REQUEST];
    struct text page = {0};
    if (!main_receive(client, request)) {
        main_say(client, "400 Bad Request", "no request that is served here");
        return;
    }
    const char *path = main_path(request);
    if (!path) {
        main_say(client, "405 Method Not Allowed", "only GET");
    } else if (strcmp(path, "/metrics") == 0) {
        main_measure(places, &page);
        main_answer(client, "200 OK", "text/plain; version=0.0.4; charset=utf-8", &page);
    } else if (strcmp(path, "/healthz") == 0) {
        main_say(client, "200 OK", "ok");
    } else {
        main_say(client, "404 Not Found", "there are /metrics and /healthz");
    }
}

/* Waits until there is room for one more process. */
static void main_reap(int *running)
{
    while (*running > 0 && waitpid(-1, NULL, *running < MAX_CLIENTS ? WNOHANG : 0) > 0)
        --*running;
}

int main(int argument_count, char *arguments[])
{
    struct places places = {"/sys/fs/cgroup", "/proc", "/var/lib/docker"};
    const char *ip = "";
    long port = 8080;
    const struct option options[] = {
        {.name = "port", .number = &port, .least = 1, .most = 65535},
        {.name = "listen_ip", .text = &ip},
        {.name = "docker_root", .text = &places.docker},
        {.name = "cgroup_root", .text = &places.groups},
        {.name = "proc_root", .text = &places.processes},
    };
    int running = 0;
    if (options_read(argument_count, arguments, options, 5) < argument_count)
        main_die(arguments[argument_count - 1], "no arguments are taken, only options");
    int listener = main_listen(ip, port);
    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        main_reap(&running);
        pid_t child = client < 0 ? -1 : fork();
        if (child == 0) {
            alarm(PATIENCE);
            main_serve(client, &places);
            main_end(client);
            _exit(0);
        }
        running += child > 0;
        if (client >= 0)
            close(client);
        else if (errno != EINTR && errno != ECONNABORTED)
            sleep(1);
    }
}
