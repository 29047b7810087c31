/* daemon.c: see daemon.h. */
#include "daemon.h"

#include "base/failure.h"
#include "clients.h"
#include "protocol/options.h"
#include "protocol/protocol.h"
#include "ring.h"
#include "sources.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A socket at `path`, in place of one that an earlier memlogd has left. For root alone. */
static int daemon_bind(const char *path, int type, struct failure *failure)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return failed(failure, "%s: the path is too long", path);
    strcpy(address.sun_path, path);
    unlink(path);
    int made = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    mode_t mask = umask(0177);
    int bound = made < 0 ? -1 : bind(made, (const struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (bound == 0 && (type == SOCK_DGRAM || listen(made, 16) == 0))
        return made;
    failed_errno(failure, "%s", path);
    if (made >= 0)
        close(made);
    return -1;
}

static _Noreturn void daemon_serve(int log_socket, int query_socket)
{
    static struct pollfd polled[2 + MAX_SOURCES + MAX_CLIENTS];
    for (;;) {
        polled[0] = (struct pollfd){.fd = log_socket, .events = POLLIN};
        polled[1] = (struct pollfd){.fd = query_socket, .events = POLLIN};
        size_t sources = sources_poll(polled + 2);
        size_t clients = clients_poll(polled + 2 + sources);
        if (poll(polled, 2 + sources + clients, -1) < 0)
            continue;
        sources_read(polled + 2, sources);
        clients_serve(polled + 2 + sources, clients);
        if (polled[0].revents)
            sources_accept(log_socket);
        if (polled[1].revents)
            clients_accept(query_socket);
    }
}

/* 0 in the child, which belongs to nobody and answers on no terminal; the parent ends. */
static int daemon_detach(struct failure *failure)
{
    pid_t child = fork();
    if (child < 0)
        return failed_errno(failure, "fork");
    if (child > 0)
        _exit(0);
    setsid();
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
    }
    return 0;
}

int daemon_main(int argument_count, char *arguments[])
{
    struct failure failure;
    const char *log_path = LOG_SOCKET, *query_path = QUERY_SOCKET;
    long log_socket = -1, query_socket = -1, max_lines = 5000, max_line = 1024;
    bool detached = false;
    const struct option options[] = {
        {.name = "socket-log", .text = &log_path},
        {.name = "socket-query", .text = &query_path},
        {.name = "fd-log", .number = &log_socket, .least = -1, .most = 1 << 20},
        {.name = "fd-query", .number = &query_socket, .least = -1, .most = 1 << 20},
        {.name = "max-lines", .number = &max_lines, .least = 1, .most = 1 << 20},
        {.name = "max-line-len", .number = &max_line, .least = 1, .most = 1 << 16},
        {.name = "daemonize", .flag = &detached},
    };
    /* What follows the options is the path of the script whose interpreter this is. */
    options_read(argument_count, arguments, options, sizeof options / sizeof *options);
    signal(SIGPIPE, SIG_IGN);
    if (log_socket < 0)
        log_socket = daemon_bind(log_path, SOCK_DGRAM, &failure);
    if (log_socket >= 0 && query_socket < 0)
        query_socket = daemon_bind(query_path, SOCK_STREAM, &failure);
    if (log_socket < 0 || query_socket < 0 || (detached && daemon_detach(&failure) < 0)) {
        fprintf(stderr, "memlogd: %s\n", failure.text);
        return 1;
    }
    if (ring_start((size_t)max_lines) < 0 || sources_start((size_t)max_line) < 0) {
        fprintf(stderr, "memlogd: %s\n", strerror(errno));
        return 1;
    }
    daemon_serve((int)log_socket, (int)query_socket);
}
