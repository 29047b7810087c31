/*
 * memlogd_driver.c: sends two lines where memlogd listens: as an onboot container's output goes there, and as the service
 * web's, through the path that it would be given, which is printed.
 */
#include "log.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    struct service service = {.bundle = {.id = "web"}};
    char path[4096];
    int direct = log_external("onboot.000-a.out");
    if (direct < 0)
        return 1;
    dprintf(direct, "from onboot\n");
    close(direct);
    log_target(&service, LOG_OUT, path, sizeof path);
    int out = open(path, O_WRONLY);
    if (out < 0)
        return 1;
    dprintf(out, "from a service\n");
    close(out);
    puts(path);
    return 0;
}
