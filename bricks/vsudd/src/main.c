/*
 * main.c: vsudd -inport PORT:unix:PATH...: what the host connects to on a vsock port reaches a
 * socket in the guest.
 */
#include "relay.h"
#include "vsock/vsock.h"

#include <linux/vm_sockets.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "2374:unix:/run/containerd/containerd.sock" */
static int main_add_port(const char *text, struct relay_port *port, struct failure *failure)
{
    char *rest;
    unsigned long number = strtoul(text, &rest, 0);
    if (rest == text || text[0] == '-' || number > UINT32_MAX - 1 ||
        strncmp(rest, ":unix:/", 7) != 0)
        return failed(failure, "%s: not PORT:unix:/PATH", text);
    port->path = rest + 6;
    port->listener = vsock_listen(VMADDR_CID_ANY, (unsigned)number, failure);
    return port->listener < 0 ? -1 : 0;
}

int main(int argument_count, char *arguments[])
{
    struct failure failure;
    struct relay_port ports[MAX_PORTS];
    size_t count = 0;
    for (int i = 1; i < argument_count; i += 2) {
        const char *name = arguments[i] + strspn(arguments[i], "-");
        if (strcmp(name, "inport") != 0 || i + 1 == argument_count || count == MAX_PORTS) {
            count = 0;
            break;
        }
        if (main_add_port(arguments[i + 1], &ports[count++], &failure) < 0) {
            fprintf(stderr, "vsudd: %s\n", failure.text);
            return 1;
        }
    }
    if (count == 0) {
        fprintf(stderr, "usage: vsudd -inport PORT:unix:/PATH... (up to %d)\n", MAX_PORTS);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    relay_serve(ports, count);
}
