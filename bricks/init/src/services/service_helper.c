/* service_helper.c: see service_helper.h. */
#include "services/service_helper.h"

#include "base/console.h"
#include "base/failure.h"
#include "base/files.h"
#include "containerd/containerd.h"
#include "containers/oci.h"
#include "containers/spec.h"
#include "log/log.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STATE "/run/compos"

/* Where a container's standard output and error go. */
struct output_paths {
    char out[PATH_SIZE];
    char error[PATH_SIZE];
};

static void service_helper_report(const struct helpers *helpers, uint32_t position,
                                  enum report_kind kind, int32_t value)
{
    const struct report line = {position, (uint32_t)kind, value};
    (void)!write(helpers->reports, &line, sizeof line);
}

static void service_helper_pid_file(char *path, size_t size, const struct service *service,
                                    const char *suffix)
{
    snprintf(path, size, STATE "/%s.%s", service->bundle.id, suffix);
}

/* The runtime's own messages join the container's: that is where people look. */
static int service_helper_run_runtime(const char *const arguments[],
                                      const struct output_paths *output, struct failure *failure)
{
    int out = open(output->out, O_WRONLY | O_CLOEXEC),
        error = open(output->error, O_WRONLY | O_CLOEXEC);
    int result = oci_run(arguments, out < 0 ? STDERR_FILENO : out,
                         error < 0 ? STDERR_FILENO : error, failure);
    if (out >= 0)
        close(out);
    if (error >= 0)
        close(error);
    return result;
}

static int service_helper_start_direct(const struct helpers *helpers, const struct service *service,
                                       uint32_t position, const struct output_paths *output,
                                       struct failure *failure)
{
    const struct bundle *bundle = &service->bundle;
    const char *program = oci_program(), *id = bundle->id;
    const bool attached = bundle_attaches(bundle);
    char pids[PATH_SIZE], folder[PATH_SIZE];
    if (spec_place(bundle, folder, sizeof folder, failure) < 0)
        return -1;
    service_helper_pid_file(pids, sizeof pids, service, "pid");
    const char *const create[] = {program,      "create", "--bundle", folder,
                                  "--pid-file", pids,     id,         NULL};
    const char *const run[] = {program,      "run", "--detach", "--bundle", folder,
                               "--pid-file", pids,  id,         NULL};
    if (service_helper_run_runtime(attached ? create : run, output, failure) < 0)
        return -1;
    pid_t pid = oci_pid(pids);
    unlink(pids);
    if (pid == 0)
        return failed(failure, "%s did not report a process id", program);
    service_helper_report(helpers, position, REPORT_PID, pid);
    if (!attached)
        return 0;
    if (bundle_attach(bundle, pid, failure) < 0)
        return -1;
    return service_helper_run_runtime((const char *const[]){program, "start", id, NULL}, output,
                                      failure);
}

static int service_helper_start_under(struct containerd *connection, const struct helpers *helpers,
                                      const struct service *service, uint32_t position,
                                      const struct output_paths *output, struct failure *failure)
{
    const struct bundle *bundle = &service->bundle;
    const char *ns = bundle->namespace, *id = bundle->id;
    size_t length;
    uint32_t pid;
    char *spec = spec_read(bundle, &length, failure);
    if (!spec)
        return -1;
    int result = containerd_create(connection, ns, id, oci_shared(), spec, length, failure);
    free(spec);
    if (result < 0 ||
        containerd_task(connection, ns, id, output->out, output->error, &pid, failure) < 0)
        return -1;
    service_helper_report(helpers, position, REPORT_PID, (int32_t)pid);
    if (bundle_attach(bundle, (pid_t)pid, failure) < 0)
        return -1;
    return containerd_start(connection, ns, id, &pid, failure);
}

static int service_helper_create(const struct helpers *helpers, const struct service *service,
                                 uint32_t position, struct failure *failure)
{
    struct output_paths output;
    if (!service->prepared) {
        if (bundle_prepare(&service->bundle, failure) < 0)
            return -1;
        service_helper_report(helpers, position, REPORT_PREPARED, 0);
    }
    log_target(service, LOG_OUT, output.out, sizeof output.out);
    log_target(service, LOG_ERROR, output.error, sizeof output.error);
    if (!helpers->socket)
        return service_helper_start_direct(helpers, service, position, &output, failure);
    struct containerd *connection = containerd_connect(helpers->socket, failure);
    if (!connection)
        return -1;
    int result =
        service_helper_start_under(connection, helpers, service, position, &output, failure);
    containerd_close(connection);
    return result;
}

int service_helper_start(const struct helpers *helpers, const struct service *service,
                         uint32_t position)
{
    struct failure failure;
    if (service_helper_create(helpers, service, position, &failure) == 0)
        return 0;
    say("service %s: %s", service->bundle.id, failure.text);
    return 1;
}

/* containerd may be starting again itself just now. */
static struct containerd *service_helper_connect_retrying(const char *socket,
                                                          struct failure *failure)
{
    enum { TRIES = 300 };
    struct containerd *connection = NULL;
    for (int i = 0; i < TRIES; i++) {
        connection = containerd_connect(socket, failure);
        if (connection)
            break;
        usleep(100000);
    }
    return connection;
}

/* A shim that has died takes containerd a moment to notice: until then it asks that one. */
static int service_helper_remove_retrying(const char *socket, const struct service *service,
                                          uint32_t *status, struct failure *failure)
{
    enum { TRIES = 30 };
    int result = -1;
    for (int i = 0; i < TRIES && result < 0; i++) {
        if (i > 0)
            usleep(100000);
        struct containerd *connection = service_helper_connect_retrying(socket, failure);
        if (!connection)
            break;
        result = containerd_remove(connection, service->bundle.namespace, service->bundle.id,
                                   status, failure);
        containerd_close(connection);
    }
    return result;
}

int service_helper_clean(const struct helpers *helpers, const struct service *service,
                         uint32_t position)
{
    struct failure failure;
    const char *id = service->bundle.id;
    if (!helpers->socket) {
        const char *const arguments[] = {oci_program(), "delete", "--force", id, NULL};
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        int result = oci_run(arguments, null, null, &failure);
        spec_unplace(&service->bundle);
        return result < 0;
    }
    uint32_t status = 0;
    int result = service_helper_remove_retrying(helpers->socket, service, &status, &failure);
    if (result < 0)
        say("service %s: %s", id, failure.text);
    else if (service->status == STATUS_UNKNOWN)
        service_helper_report(helpers, position, REPORT_STATUS, (int32_t)status);
    return result < 0;
}

int service_helper_test(const struct helpers *helpers, const struct service *service)
{
    enum { OWN = 12 };
    char root[PATH_SIZE], pids[PATH_SIZE];
    const char **arguments = calloc(service->check.arguments + OWN, sizeof *arguments);
    size_t count = 0;
    bool confined = false;
    struct failure failure;
    if (!arguments)
        return 1;
    arguments[count++] = oci_program();
    if (helpers->socket) {
        /* Where the shim keeps the runtime's state. */
        snprintf(root, sizeof root, "/run/containerd/runc/%s", service->bundle.namespace);
        arguments[count++] = "--root";
        arguments[count++] = root;
    }
    service_helper_pid_file(pids, sizeof pids, service, "test");
    arguments[count++] = "exec";
    /* crun does not look for it in the specification. */
    for (size_t i = 0; i < service->bundle.count; i++)
        confined = confined || service->bundle.lines[i].word == WORD_NO_NEW_PRIVILEGES;
    if (confined)
        arguments[count++] = "--no-new-privs";
    arguments[count++] = "--pid-file";
    arguments[count++] = pids;
    arguments[count++] = service->bundle.id;
    for (size_t i = 0; i < service->check.arguments; i++)
        arguments[count++] = service->check.test[i].argument[0];
    arguments[count] = NULL;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    int result = oci_run(arguments, null, null, &failure);
    unlink(pids);
    free(arguments);
    return result < 0;
}

void service_helper_kill_test(const struct service *service)
{
    char pids[PATH_SIZE];
    service_helper_pid_file(pids, sizeof pids, service, "test");
    pid_t pid = oci_pid(pids);
    if (pid > 1)
        kill(pid, SIGKILL);
    unlink(pids);
    /* The helper leads a session of its own, with the runtime in it. */
    kill(-service->probe.pid, SIGKILL);
}
