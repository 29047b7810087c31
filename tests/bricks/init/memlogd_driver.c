/*
 * memlogd_driver.c: sends lines where memlogd listens: as an onboot container's output goes there,
 * and as the service web's, which starts twice, each time by a helper process that ends when the
 * container has opened its path, which is printed. Then where the output of a service without logs
 * goes. `hung`: many sources, to somebody who takes no message and reads nothing.
 */
#include "log/log.h"

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

/* Whether neither a source nor its lines are waited for. */
static int hung(void)
{
    enum { SOURCES = 2000, LINES = 1 << 20 };
    static char lines[LINES];
    ssize_t written = 0;
    int file = 0;
    for (int i = 0; i < SOURCES && file >= 0; i++) {
        file = log_external("onboot.000-a");
        written = file < 0 ? written : write(file, lines, sizeof lines);
    }
    return file >= 0 || written <= 0 || written == LINES;
}

int main(int count, char *arguments[])
{
    (void)arguments;
    if (count > 1)
        return hung();
    int direct = log_external("onboot.000-a.out");
    if (direct < 0)
        return 1;
    dprintf(direct, "from onboot\n");
    close(direct);
    if (start("from a service") != 0 || start("started again") != 0)
        return 1;
    struct service quiet = {.bundle = {.id = "quiet"}, .log = {.driver = LOG_NONE}};
    char path[4096];
    log_target(&quiet, LOG_OUT, path, sizeof path);
    puts(path);
    return 0;
}
