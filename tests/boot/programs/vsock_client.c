/* vsock_client.c: PORT: connects to the machine itself over vsock, asks with a zero byte, and prints what it gets. */
#include <linux/vm_sockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char *arguments[])
{
    const struct sockaddr_vm address = {.svm_family = AF_VSOCK,
                                        .svm_cid = VMADDR_CID_LOCAL,
                                        .svm_port = count > 1 ? (unsigned)strtoul(arguments[1], NULL, 0) : 0};
    char bytes[4096];
    int stream = socket(AF_VSOCK, SOCK_STREAM, 0);
    if (stream < 0 || connect(stream, (const struct sockaddr *)(const void *)&address, sizeof address) < 0) {
        perror("vsock");
        return 1;
    }
    /* Whoever has hung up already is heard of by reading. */
    send(stream, "", 1, MSG_NOSIGNAL);
    for (ssize_t got; (got = read(stream, bytes, sizeof bytes)) > 0;)
        fwrite(bytes, 1, (size_t)got, stdout);
    puts("the end");
    return 0;
}
