/*
 * memlogd_driver.c: sends lines where memlogd listens: as an onboot container's output goes there, and as the service web's,
 * which starts twice, each time by a helper process that ends when the container has opened its path, which is printed.
 */
#include "log.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static int start(const char *line)
{
    struct service service = {.bundle = {.id = "web"}};
    char path[4096];
    int status, opened[2];
    pid_t helper = pipe(opened) < 0 ? -1 : fork();
    if (helper == 0) {
        log_target(&service, LOG_OUT, path, sizeof path);
        /* memlogd reads before anybody writes. */
        usleep(300000);
        puts(path);
        fflush(stdout);
        pid_t container = fork();
        if (container == 0) {
            int out = open(path, O_WRONLY | O_CLOEXEC);
            (void)!write(opened[1], "x", 1);
            usleep(300000);
            _exit(out < 0 || dprintf(out, "%s\n", line) < 0);
        }
        (void)!read(opened[0], path, 1);
        _exit(container < 0);
    }
    if (helper < 0 || waitpid(helper, &status, 0) < 0)
        return -1;
    close(opened[0]);
    close(opened[1]);
    usleep(600000);
    return status;
}

int main(void)
{
    int direct = log_external("onboot.000-a.out");
    if (direct < 0)
        return 1;
    dprintf(direct, "from onboot\n");
    close(direct);
    return start("from a service") != 0 || start("started again") != 0;
}
