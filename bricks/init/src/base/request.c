/* request.c: see request.h. */
#include "base/request.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

int request_send(const char *action, const char *name, struct failure *failure)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = REQUEST_SOCKET};
    const struct timeval timeout = {.tv_sec = 30};
    char text[REQUEST_SIZE];
    int length = snprintf(text, sizeof text, "%s %s", action, name);
    if (length < 0 || (size_t)length >= sizeof text)
        return failed(failure, "%.100s...: the name is too long", name);
    int channel = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    setsockopt(channel, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    ssize_t count = -1;
    if (connect(channel, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(channel, text, (size_t)length, MSG_NOSIGNAL) >= 0)
        count = recv(channel, text, sizeof text - 1, 0);
    int reason = errno;
    close(channel);
    errno = reason;
    if (count < 0)
        return failed_errno(failure, REQUEST_SOCKET);
    text[count] = '\0';
    return count > 0 ? failed(failure, "%s: %s", name, text) : 0;
}
