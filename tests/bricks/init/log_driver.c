/*
 * log_driver.c: FIFO DRIVER SIZE FILES ADDRESS: init's logging process over one stream named "web",
 * until SIGTERM. Files go to /var/log, so that it needs a root of its own (unshare).
 */
#include "log/logger.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char *arguments[])
{
    static const char *const drivers[] = {"file", "console", "kmsg", "syslog", "none"};
    struct log_settings settings = {.tag = ""};
    if (count != 6)
        return 2;
    while (strcmp(drivers[settings.driver], arguments[2]) != 0)
        settings.driver++;
    settings.size = strtoul(arguments[3], NULL, 10);
    settings.files = (unsigned)strtoul(arguments[4], NULL, 10);
    settings.address = arguments[5];
    struct stream stream = {.id = "web", .suffix = "", .settings = &settings, .file = -1};
    stream.input = open(arguments[1], O_RDWR | O_NONBLOCK);
    if (stream.input < 0)
        return 1;
    logger_run(&stream, 1);
}
