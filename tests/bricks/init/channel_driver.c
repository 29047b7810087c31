/* Serves standard input, a socket, as init serves a port of virtio-serial: channel.c. */
#include "remote/channel.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    channel_attend(STDIN_FILENO);
    return 0;
}
