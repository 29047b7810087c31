/* console.c: the system console (see console.h). */
#include "base/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT = 2000 };

static int console_descriptor = STDOUT_FILENO;
static int console_timeout = TIMEOUT;

int console_open(void)
{
    /* Children get 0 to 2, which block as programs expect. */
    while (fcntl(STDERR_FILENO, F_GETFD) < 0)
        if (open("/dev/console", O_RDWR | O_NOCTTY) < 0)
            return -1;
    int opened = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (opened < 0)
        return -1;
    console_descriptor = opened;
    return 0;
}

int write_within(int descriptor, const char *bytes, size_t length, int milliseconds)
{
    while (length > 0) {
        ssize_t written = write(descriptor, bytes, length);
        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
            continue;
        }
        if (written < 0 && errno == EINTR)
            continue;
        struct pollfd room = {.fd = descriptor, .events = POLLOUT};
        if (written == 0 || errno != EAGAIN || poll(&room, 1, milliseconds) <= 0)
            return -1;
    }
    return 0;
}

void console_write(const char *bytes, size_t length)
{
    /* A terminal stopped with ctrl-S must not stop the boot: wait once, then only drop. */
    console_timeout =
        write_within(console_descriptor, bytes, length, console_timeout) == 0 ? TIMEOUT : 0;
}

void say(const char *format, ...)
{
    static const char prefix[] = "compos: ";
    char line[1024];
    va_list arguments;
    memcpy(line, prefix, sizeof prefix);
    va_start(arguments, format);
    int length =
        vsnprintf(line + sizeof prefix - 1, sizeof line - sizeof prefix, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    size_t end = strlen(line);
    line[end++] = '\n';
    console_write(line, end);
}

void say_time(const char *what)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    say("%s at %lld.%02ld s", what, (long long)now.tv_sec, now.tv_nsec / 10000000);
}
