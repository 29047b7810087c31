/* vsock.c: see vsock.h. */
#include "vsock/vsock.h"

#include <linux/vm_sockets.h>
#include <sys/socket.h>
#include <unistd.h>

int vsock_listen(unsigned cid, unsigned port, struct failure *failure)
{
    const struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_cid = cid, .svm_port = port};
    int made = socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (made >= 0 &&
        bind(made, (const struct sockaddr *)(const void *)&address, sizeof address) == 0 &&
        listen(made, 16) == 0)
        return made;
    failed_errno(failure, "vsock port %u", port);
    if (made >= 0)
        close(made);
    return -1;
}
