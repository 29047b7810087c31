/* control.c: see control.h. A request is one message, "ACTION NAME"; the answer is one: empty, or what is wrong. */
#include "control.h"

#include "console.h"
#include "process.h"
#include "services.h"

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

static void serve(int channel)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    /* The request stands in the socket's queue when a client has connected and sent: who is slow is not waited for. */
    const struct timeval patience = {.tv_usec = 200000};
    char request[CONTROL_MESSAGE];
    setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0)
        return;
    ssize_t length = recv(channel, request, sizeof request - 1, 0);
    if (length <= 0)
        return;
    request[length] = '\0';
    const char *reply = answer(request);
    (void)!send(channel, reply ? reply : "", reply ? strlen(reply) : 0, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void accept_one(struct watch *watch)
{
    int channel = accept4(watch->descriptor, NULL, NULL, SOCK_CLOEXEC);
    if (channel < 0)
        return;
    serve(channel);
    close(channel);
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
        return;
    }
    listener = (struct watch){.descriptor = channel, .ready = accept_one};
    watch_add(&listener);
}
