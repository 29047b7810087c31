/*
 * control.c: see control.h. A request is one message, "ACTION NAME"; the answer is one: empty, or
 * what is wrong.
 */
#include "services/control.h"

#include "base/console.h"
#include "base/process.h"
#include "base/request.h"
#include "services/services.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct watch control_listener;

static const char *control_answer(char *request)
{
    char *name = strchr(request, ' ');
    if (!name)
        return "a request must have an action and a name";
    *name++ = '\0';
    return services_request(request, name);
}

/*
 * Somebody who has connected; descriptor -1: nobody. Who says nothing makes room for the next one,
 * and is not waited for.
 */
enum { CLIENTS = 8 };
static struct watch control_clients[CLIENTS];
static size_t control_oldest;

static void control_leave(struct watch *client)
{
    watch_remove(client);
    close(client->descriptor);
    client->descriptor = -1;
}

static void control_serve(struct watch *client)
{
    char request[REQUEST_SIZE];
    ssize_t length = recv(client->descriptor, request, sizeof request - 1, MSG_DONTWAIT);
    if (length < 0 && errno == EAGAIN)
        return;
    if (length > 0) {
        request[length] = '\0';
        const char *reply = control_answer(request);
        (void)!send(client->descriptor, reply ? reply : "", reply ? strlen(reply) : 0,
                    MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    control_leave(client);
}

static void control_accept_one(struct watch *watch)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    int channel = accept4(watch->descriptor, NULL, NULL, SOCK_CLOEXEC);
    if (channel < 0)
        return;
    if (getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0) {
        close(channel);
        return;
    }
    struct watch *client = &control_clients[control_oldest];
    control_oldest = (control_oldest + 1) % CLIENTS;
    if (client->descriptor >= 0)
        control_leave(client);
    *client = (struct watch){.descriptor = channel, .ready = control_serve};
    watch_add(client);
}

void control_start(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = REQUEST_SOCKET};
    int channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(REQUEST_SOCKET);
    mode_t mask = umask(0177);
    int result = channel < 0 ? -1 : bind(channel, (struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (result < 0 || listen(channel, 16) < 0) {
        say(REQUEST_SOCKET ": %s", strerror(errno));
        if (channel >= 0)
            close(channel);
        return;
    }
    for (size_t i = 0; i < CLIENTS; i++)
        control_clients[i].descriptor = -1;
    control_listener = (struct watch){.descriptor = channel, .ready = control_accept_one};
    watch_add(&control_listener);
}
