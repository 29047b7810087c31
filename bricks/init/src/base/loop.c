/* loop.c: see loop.h. Source: loop(4). */
#include "base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int loop_attach(const struct loop_config *config, int flags, char *path, size_t size)
{
    int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    if (control >= 0)
        close(control);
    if (number < 0)
        return -1;
    snprintf(path, size, "/dev/loop%d", number);
    int device = open(path, flags | O_CLOEXEC);
    if (device < 0 || ioctl(device, LOOP_CONFIGURE, config) == 0)
        return device;
    int reason = errno;
    close(device);
    errno = reason;
    return -1;
}
