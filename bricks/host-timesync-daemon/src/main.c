/*
 * main.c: host-timesync-daemon [-cid CID] [-port PORT]: sets the clock from the real-time clock
 * whenever the host connects to a vsock port, as it does when the machine has slept.
 */
#include "base/files.h"
#include "protocol/options.h"
#include "vsock/vsock.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define CLOCK "/sys/class/rtc/rtc0/since_epoch"

/*
 * The real-time clock, which runs in UTC, through sysfs: the device's number differs from machine
 * to machine, so that no label can grant it.
 */
static int main_set_clock(struct failure *failure)
{
    char text[32], *end;
    if (file_line(CLOCK, text, sizeof text) < 0)
        return failed_errno(failure, CLOCK);
    errno = 0;
    long long seconds = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        return failed(failure, CLOCK ": no time");
    const struct timeval now = {.tv_sec = (time_t)seconds};
    return settimeofday(&now, NULL) < 0 ? failed_errno(failure, "setting the clock") : 0;
}

static _Noreturn void main_serve(int listener)
{
    struct failure failure;
    for (;;) {
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        int connection = poll(&ready, 1, -1) > 0 ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (connection < 0)
            continue;
        if (main_set_clock(&failure) < 0)
            fprintf(stderr, "host-timesync-daemon: %s\n", failure.text);
        /* The host takes the end for the answer. */
        close(connection);
    }
}

int main(int argument_count, char *arguments[])
{
    struct failure failure;
    /* The largest of all is VMADDR_CID_ANY. */
    long cid = UINT32_MAX, port = 0xf3a4;
    const struct option options[] = {
        {.name = "cid", .number = &cid, .least = 0, .most = UINT32_MAX},
        {.name = "port", .number = &port, .least = 0, .most = UINT32_MAX - 1},
    };
    options_read(argument_count, arguments, options, 2);
    int listener = vsock_listen((unsigned)cid, (unsigned)port, &failure);
    if (listener >= 0)
        main_serve(listener);
    fprintf(stderr, "host-timesync-daemon: %s\n", failure.text);
    return 1;
}
