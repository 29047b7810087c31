/* relay_driver.c: LISTEN PATH: vsudd's relay behind a Unix socket, where a host would use vsock. */
#include "relay.h"

#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int count, char *arguments[])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (count != 3)
        return 2;
    strncpy(address.sun_path, arguments[1], sizeof address.sun_path - 1);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(listener, (const struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener, 128) < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    const struct relay_port port = {listener, arguments[2]};
    relay_serve(&port, 1);
}
