/* services.c: see services.h. */
#include "services.h"

#include "bundle.h"
#include "console.h"
#include "containerd.h"
#include "files.h"
#include "process.h"
#include "spec.h"
#include "stage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define DAEMON_LOG "/var/log/containerd.log"

/* containerd needs 1 s on a fast machine, and 10 s on a slow emulated one. */
enum { DAEMON_PATIENCE = 120, DAEMON_LOG_MAXIMUM = 16 << 20 };

static struct child daemon_process;
static bool daemon_watched;
static const char *daemon_socket;

static bool accepts(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int channel = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int result = connect(channel, (struct sockaddr *)&address, sizeof address);
    close(channel);
    return result == 0;
}

/* The end of the daemon's log, where the reason of its death stands. */
static void show_daemon_log(void)
{
    enum { TAIL = 1024 };
    size_t length;
    char *text = file_read(DAEMON_LOG, DAEMON_LOG_MAXIMUM, &length);
    if (!text)
        return;
    const char *tail = length > TAIL ? strchr(text + length - TAIL, '\n') : text;
    if (tail)
        console_write(tail, strlen(tail));
    free(text);
}

static void tell_daemon_end(void)
{
    char status[64];
    describe_status(daemon_process.status, status, sizeof status);
    say("containerd: %s; its last words in " DAEMON_LOG ":", status);
    show_daemon_log();
}

static void start_daemon(const char *const argument[])
{
    struct failure failure;
    struct timespec begin, now;
    daemon_socket = argument[1];
    unlink(daemon_socket);
    int log = bundle_log(DAEMON_LOG, &failure);
    int output = log < 0 ? STDERR_FILENO : log;
    int started = child_start(&daemon_process, (const char *const[]){argument[0], NULL}, output, output, &failure);
    if (log >= 0)
        close(log);
    if (started < 0) {
        say("containerd: %s", failure.text);
        return;
    }
    daemon_watched = true;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        if (accepts(daemon_socket)) {
            say_time("containerd ready");
            return;
        }
        process_events(20);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (!daemon_process.ended && process_power() == POWER_NONE && now.tv_sec - begin.tv_sec < DAEMON_PATIENCE);
    if (!daemon_process.ended && process_power() == POWER_NONE)
        say("containerd: its socket %s does not answer", daemon_socket);
}

/* A log's path, or /dev/null where it cannot be. */
static void log_path(char *path, size_t size, const struct bundle *bundle, const char *suffix)
{
    struct failure failure;
    snprintf(path, size, "/var/log/%s%s", bundle->id, suffix);
    int log = bundle_log(path, &failure);
    if (log >= 0) {
        close(log);
        return;
    }
    say("service %s: %s", bundle->id, failure.text);
    snprintf(path, size, "/dev/null");
}

static int start_under(struct containerd *connection, const struct bundle *bundle, struct failure *failure)
{
    char *error = failure->text, out[PATH_SIZE], err[PATH_SIZE];
    const char *ns = bundle->namespace, *id = bundle->id;
    const size_t size = sizeof failure->text;
    size_t length;
    uint32_t pid;
    char *spec = spec_read(bundle, &length, failure);
    if (!spec)
        return -1;
    int result = containerd_create(connection, ns, id, spec, length, error, size);
    free(spec);
    if (result < 0)
        return -1;
    log_path(out, sizeof out, bundle, ".out.log");
    log_path(err, sizeof err, bundle, ".log");
    if (containerd_task(connection, ns, id, out, err, &pid, error, size) < 0)
        return -1;
    if (bundle_attach(bundle, (pid_t)pid, failure) < 0)
        return -1;
    return containerd_start(connection, ns, id, &pid, error, size);
}

/* In a process of its own. */
static int start_service(const struct bundle *bundle, struct failure *failure)
{
    if (bundle_prepare(bundle, failure) < 0)
        return -1;
    struct containerd *connection = containerd_connect(daemon_socket, failure->text, sizeof failure->text);
    if (!connection)
        return -1;
    int result = start_under(connection, bundle, failure);
    containerd_close(connection);
    return result;
}

/* What a persistent /var/lib/containerd remembers of the last boot. */
static int remove_stale(const struct plan *plan, size_t begin, size_t end, struct failure *failure)
{
    struct containerd *connection = containerd_connect(daemon_socket, failure->text, sizeof failure->text);
    int result = connection ? 0 : -1;
    const char *last = NULL;
    for (size_t i = begin; i < end && result == 0; i = plan_container_end(plan, i, end)) {
        const char *ns = plan->lines[i].argument[2];
        if (!last || strcmp(last, ns) != 0)
            result = containerd_remove_all(connection, ns, failure->text, sizeof failure->text);
        last = ns;
    }
    if (connection)
        containerd_close(connection);
    return result;
}

/* Forks: the containerd calls may wait, and PID 1 must not. */
static void fork_stale(const struct plan *plan, size_t begin, size_t end)
{
    struct child child;
    struct failure failure;
    pid_t pid = child_fork(&child, &failure);
    if (pid == 0) {
        int result = remove_stale(plan, begin, end, &failure);
        if (result < 0)
            say("containerd: %s", failure.text);
        _exit(result < 0);
    }
    if (pid > 0)
        child_wait(&child);
    else
        say("containerd: %s", failure.text);
}

static void fork_service(struct child *child, const struct plan *plan, size_t index, size_t end)
{
    struct bundle bundle;
    struct failure failure;
    const char *id = plan->lines[index].argument[0];
    int result = bundle_read(&bundle, plan, index, end, &failure);
    pid_t pid = result < 0 ? -1 : child_fork(child, &failure);
    if (pid > 0)
        return;
    if (pid == 0)
        result = start_service(&bundle, &failure);
    if (pid < 0 || result < 0)
        say("service %s: %s", id, failure.text);
    if (pid == 0)
        _exit(result < 0);
    *child = (struct child){.status = -1, .ended = true};
}

/* Starts all containers of lines[begin..end) at the same time. */
static void start_services(const struct plan *plan, size_t begin, size_t end)
{
    size_t count = 0, failures = 0;
    char what[64];
    struct child *children = calloc(end - begin, sizeof *children);
    if (!children) {
        say("services: %s", strerror(errno));
        return;
    }
    fork_stale(plan, begin, end);
    for (size_t i = begin; i < end; i = plan_container_end(plan, i, end))
        fork_service(&children[count++], plan, i, end);
    for (size_t i = 0; i < count; i++)
        failures += !child_wait(&children[i]) || children[i].status != 0;
    free(children);
    snprintf(what, sizeof what, "services started (%zu of %zu)", count - failures, count);
    say_time(what);
}

/* One past the containers that begin at `index`. */
static size_t containers_end(const struct plan *plan, size_t index, size_t end)
{
    while (index < end && plan->lines[index].word == WORD_CONTAINER)
        index = plan_container_end(plan, index, end);
    return index;
}

void services_stage(const struct plan *plan)
{
    size_t end = plan->end[STAGE_SERVICES];
    for (size_t i = plan->begin[STAGE_SERVICES]; i < end && process_power() == POWER_NONE;) {
        size_t next = containers_end(plan, i, end);
        if (next == i) {
            if (plan->lines[i].word == WORD_CONTAINERD)
                start_daemon(plan->lines[i].argument);
            else
                stage_line(&plan->lines[i]);
            next++;
        } else if (daemon_watched)
            start_services(plan, i, next);
        else
            say("services: no containerd, none started");
        services_check();
        i = next;
    }
}

void services_check(void)
{
    if (!daemon_watched || !daemon_process.ended)
        return;
    daemon_watched = false;
    child_forget(&daemon_process);
    tell_daemon_end();
}
