/* engine.c: see engine.h. */
#include "engine.h"

#include "base/mapper.h"
#include "verdict.h"
#include "web/web.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENGINE_SOCKET ENGINE_FOLDER "/bus"
#define ENGINE_LOCK ENGINE_FOLDER "/lock"
#define ENGINE_WORD "LastError: "

enum { WAITS = 600, LAST_WAITS = 50, WAIT = 100, LINE = 4096, ENGINE_HEADER = 16384 + 16 };

/* A process of its own group, so that what it starts ends with it. */
static pid_t engine_start(const char *const arguments[], int output, int errors)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    setpgid(0, 0);
    if (output >= 0)
        dup2(output, STDOUT_FILENO);
    if (errors >= 0)
        dup2(errors, STDERR_FILENO);
    execv(arguments[0], (char *const *)arguments);
    fprintf(stderr, "update: %s: %s\n", arguments[0], strerror(errno));
    _exit(127);
}

int engine_run(const char *const arguments[])
{
    pid_t pid = engine_start(arguments, -1, -1);
    return pid < 0 ? -1 : web_wait(pid);
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
        if (web_nobody() == 0)
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
    return pid > 0 && web_wait(pid) == 0 && *bundle->version ? 0 : -1;
}

/* Starts a program and returns what it prints: NULL if that cannot be read. */
static FILE *engine_read(const char *const arguments[], pid_t *pid)
{
    int ends[2];
    *pid = -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return NULL;
    *pid = engine_start(arguments, ends[1], -1);
    close(ends[1]);
    FILE *stream = fdopen(ends[0], "r");
    if (!stream)
        close(ends[0]);
    return stream;
}

int engine_line(const char *const arguments[], char *line, int size)
{
    pid_t pid;
    FILE *stream = engine_read(arguments, &pid);
    bool found = stream && fgets(line, size, stream);
    if (stream)
        fclose(stream);
    if (found)
        line[strcspn(line, "\n")] = '\0';
    return pid > 0 && web_wait(pid) == 0 && found ? 0 : -1;
}

/* In the child. What the service says, without the secret. */
static _Noreturn void engine_pass(int input, const char *secret)
{
    char *line = NULL;
    size_t size = 0;
    FILE *stream = fdopen(input, "r");
    while (stream && getline(&line, &size, stream) > 0) {
        const char *rest = line;
        for (const char *at; (at = strstr(rest, secret)); rest = at + strlen(secret))
            fprintf(stderr, "%.*s(hidden)", (int)(at - rest), rest);
        fputs(rest, stderr);
    }
    _exit(0);
}

/* RAUC's service says of each request which headers it has: where it says so, or -1. */
static int engine_hide(const char *secret, pid_t *filter)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    *filter = fork();
    if (*filter == 0) {
        close(ends[1]);
        engine_pass(ends[0], secret);
    }
    close(ends[0]);
    if (*filter > 0)
        return ends[1];
    close(ends[1]);
    return -1;
}

/* The service ends soon after its bus; nobody waits longer for its last words. */
static void engine_end(pid_t filter)
{
    struct timespec pause = {0, WAIT * 1000000L};
    if (filter <= 0)
        return;
    for (int i = 0; i < LAST_WAITS; i++) {
        if (waitpid(filter, NULL, WNOHANG) != 0)
            return;
        nanosleep(&pause, NULL);
    }
    kill(filter, SIGKILL);
    web_wait(filter);
}

/* The bus, when it takes connections: its process, or -1. It starts RAUC's service on demand. */
static pid_t engine_bus(int output)
{
    static const char *const arguments[] = {"/usr/bin/dbus-daemon",
                                            "--config-file=/usr/share/update/bus.conf", "--nofork",
                                            "--nopidfile", NULL};
    unlink(ENGINE_SOCKET);
    pid_t pid = engine_start(arguments, output, output);
    if (pid < 0)
        return -1;
    struct timespec pause = {0, WAIT * 1000000L};
    for (int i = 0; i < WAITS; i++) {
        if (access(ENGINE_SOCKET, F_OK) == 0)
            return pid;
        nanosleep(&pause, NULL);
    }
    kill(-pid, SIGKILL);
    web_wait(pid);
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
    umount2(ENGINE_FOLDER "/mnt/bundle", MNT_DETACH);
    mapper_remove("rauc-verity-bundle");
}

/* Runs RAUC's client, passes on what it says, and keeps its last word on what went wrong. */
static int engine_listen(const char *const arguments[], struct failure *reason)
{
    char line[LINE];
    pid_t pid;
    FILE *stream = engine_read(arguments, &pid);
    while (stream && fgets(line, sizeof line, stream)) {
        fputs(line, stdout);
        fflush(stdout);
        if (strncmp(line, ENGINE_WORD, strlen(ENGINE_WORD)) == 0)
            failed(reason, "%.*s", (int)strcspn(line + strlen(ENGINE_WORD), "\n"),
                   line + strlen(ENGINE_WORD));
    }
    if (stream)
        fclose(stream);
    return pid < 0 ? -1 : web_wait(pid);
}

int engine_install(const char *source, const char *header, struct failure *reason)
{
    char option[ENGINE_HEADER];
    failed(reason, "RAUC has not installed it");
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
        failed(reason, "%s", errno == EBUSY ? "an update is being installed" : strerror(errno));
        fprintf(stderr, "update: %s\n", reason->text);
        return -1;
    }
    verdict_clear();
    engine_tidy();
    pid_t filter = 0;
    int output = *header ? engine_hide(strrchr(header, ' ') + 1, &filter) : -1;
    pid_t bus = *header && output < 0 ? -1 : engine_bus(output);
    if (output >= 0)
        close(output);
    int status = -1;
    if (bus < 0)
        fprintf(stderr, "update: the bus does not start\n");
    else
        status = engine_listen(arguments, reason);
    if (bus > 0) {
        kill(-bus, SIGTERM);
        web_wait(bus);
    }
    engine_end(filter);
    close(lock);
    return status == 0 ? 0 : -1;
}
