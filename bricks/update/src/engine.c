/* engine.c: see engine.h. */
#include "engine.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/dm-ioctl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENGINE_SOCKET ENGINE_FOLDER "/bus"
#define ENGINE_LOCK ENGINE_FOLDER "/lock"

enum { WAITS = 600, WAIT = 100, NOBODY = 65534, LINE = 4096, ENGINE_HEADER = 16384 + 16 };

/* A process of its own group, so that what it starts ends with it. */
static pid_t engine_start(const char *const arguments[], int output)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    setpgid(0, 0);
    if (output >= 0)
        dup2(output, STDOUT_FILENO);
    execv(arguments[0], (char *const *)arguments);
    fprintf(stderr, "update: %s: %s\n", arguments[0], strerror(errno));
    _exit(127);
}

int engine_nobody(void)
{
    if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0)
        return -1;
    return setresuid(NOBODY, NOBODY, NOBODY);
}

int engine_wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int engine_run(const char *const arguments[])
{
    pid_t pid = engine_start(arguments, -1);
    return pid < 0 ? -1 : engine_wait(pid);
}

/* A line of a shell: NAME='value'. */
static void engine_value(const char *line, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);
    if (strncmp(line, name, length) != 0 || line[length] != '=')
        return;
    const char *start = line + length + 1;
    start += *start == '\'';
    snprintf(value, size, "%.*s", (int)strcspn(start, "'\n"), start);
}

int engine_info(const char *path, struct engine_bundle *bundle)
{
    /* Not with the machine's configuration, whose folder for data is not nobody's. */
    const char *arguments[] = {
        "/usr/bin/rauc",
        "info",
        "--keyring=/etc/update/keyring.pem",
        "--output-format=shell",
        "--",
        path,
        NULL,
    };
    char line[LINE];
    int ends[2];
    *bundle = (struct engine_bundle){0};
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        if (engine_nobody() == 0)
            execv(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    close(ends[1]);
    FILE *stream = fdopen(ends[0], "r");
    while (stream && fgets(line, sizeof line, stream)) {
        engine_value(line, "RAUC_MF_COMPATIBLE", bundle->compatible, sizeof bundle->compatible);
        engine_value(line, "RAUC_MF_VERSION", bundle->version, sizeof bundle->version);
    }
    if (stream)
        fclose(stream);
    return pid > 0 && engine_wait(pid) == 0 && *bundle->version ? 0 : -1;
}

int engine_line(const char *const arguments[], char *line, int size)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = engine_start(arguments, ends[1]);
    close(ends[1]);
    FILE *stream = fdopen(ends[0], "r");
    if (!stream) {
        close(ends[0]);
        return -1;
    }
    bool found = fgets(line, size, stream);
    fclose(stream);
    if (found)
        line[strcspn(line, "\n")] = '\0';
    return pid > 0 && engine_wait(pid) == 0 && found ? 0 : -1;
}

/* The bus, when it takes connections: its process, or -1. It starts RAUC's service on demand. */
static pid_t engine_bus(void)
{
    static const char *const arguments[] = {"/usr/bin/dbus-daemon",
                                            "--config-file=/usr/share/update/bus.conf", "--nofork",
                                            "--nopidfile", NULL};
    unlink(ENGINE_SOCKET);
    pid_t pid = engine_start(arguments, -1);
    if (pid < 0)
        return -1;
    struct timespec pause = {0, WAIT * 1000000L};
    for (int i = 0; i < WAITS; i++) {
        if (access(ENGINE_SOCKET, F_OK) == 0)
            return pid;
        nanosleep(&pause, NULL);
    }
    kill(-pid, SIGKILL);
    engine_wait(pid);
    return -1;
}

/* Nobody else installs meanwhile: a descriptor, or -1. */
static int engine_lock(void)
{
    int lock = open(ENGINE_LOCK, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX | LOCK_NB) == 0)
        return lock;
    close(lock);
    errno = EBUSY;
    return -1;
}

/*
 * Takes away what a RAUC leaves behind that has died of an I/O error in a file that it had mapped,
 * as happens when a server breaks off: its next one could not use the same names.
 */
static void engine_tidy(void)
{
    struct dm_ioctl device = {
        .version = {DM_VERSION_MAJOR, 0, 0},
        .data_size = sizeof device,
        .data_start = sizeof device,
        .name = "rauc-verity-bundle",
    };
    umount2(ENGINE_FOLDER "/mnt/bundle", MNT_DETACH);
    int control = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return;
    ioctl(control, (int)DM_DEV_REMOVE, &device);
    close(control);
}

int engine_install(const char *source, const char *header)
{
    char option[ENGINE_HEADER];
    const char *plain[] = {
        "/usr/bin/rauc", "-c", "/etc/update/system.conf", "install", "--progress", "--",
        source,          NULL,
    };
    const char *proved[] = {
        "/usr/bin/rauc", "-c", "/etc/update/system.conf", "install", "--progress", option, "--",
        source,          NULL,
    };
    const char *const *arguments = *header ? proved : plain;
    snprintf(option, sizeof option, "--http-header=%s", header);
    mkdir(ENGINE_FOLDER, 0755);
    mkdir(ENGINE_FOLDER "/data", 0700);
    mkdir(ENGINE_FOLDER "/mnt", 0700);
    setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=" ENGINE_SOCKET, 1);
    int lock = engine_lock();
    if (lock < 0) {
        fprintf(stderr, "update: %s\n",
                errno == EBUSY ? "an update is being installed" : strerror(errno));
        return -1;
    }
    engine_tidy();
    pid_t bus = engine_bus();
    int status = -1;
    if (bus < 0)
        fprintf(stderr, "update: the bus does not start\n");
    else
        status = engine_run(arguments);
    if (bus > 0) {
        kill(-bus, SIGTERM);
        engine_wait(bus);
    }
    close(lock);
    return status == 0 ? 0 : -1;
}
