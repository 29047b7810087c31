/* control.c: see control.h. A request is one message, "ACTION NAME"; the answer is one: empty, or what is wrong. */
#include "services/control.h"

#include "base/console.h"
#include "base/process.h"
#include "services/services.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct watch listener;

static const char *answer(char *request)
{
    char *name = strchr(request, ' ');
    if (!name)
        return "a request has an action and a name";
    *name++ = '\0';
    return services_request(request, name);
}

/* Somebody who has connected; descriptor -1: nobody. Who says nothing makes room for the next one, and is not waited for. */
enum { CLIENTS = 8 };
static struct watch clients[CLIENTS];
static size_t oldest;

static void leave(struct watch *client)
{
    watch_remove(client);
    close(client->descriptor);
    client->descriptor = -1;
}

static void serve(struct watch *client)
{
    char request[CONTROL_MESSAGE];
    ssize_t length = recv(client->descriptor, request, sizeof request - 1, MSG_DONTWAIT);
    if (length < 0 && errno == EAGAIN)
        return;
    if (length > 0) {
        request[length] = '\0';
        const char *reply = answer(request);
        (void)!send(client->descriptor, reply ? reply : "", reply ? strlen(reply) : 0, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    leave(client);
}

static void accept_one(struct watch *watch)
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
    struct watch *client = &clients[oldest];
    oldest = (oldest + 1) % CLIENTS;
    if (client->descriptor >= 0)
        leave(client);
    *client = (struct watch){.descriptor = channel, .ready = serve};
    watch_add(client);
}

void control_start(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = CONTROL_SOCKET};
    int channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(CONTROL_SOCKET);
    mode_t mask = umask(0177);
    int result = channel < 0 ? -1 : bind(channel, (struct sockaddr *)&address, sizeof address);
    umask(mask);
    if (result < 0 || listen(channel, 16) < 0) {
        say(CONTROL_SOCKET ": %s", strerror(errno));
        if (channel >= 0)
            close(channel);
        return;
    }
    for (size_t i = 0; i < CLIENTS; i++)
        clients[i].descriptor = -1;
    listener = (struct watch){.descriptor = channel, .ready = accept_one};
    watch_add(&listener);
}
