/* runc.c: see runc.h. */
#include "runc.h"

#include "bundle.h"
#include "console.h"
#include "files.h"
#include "process.h"
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#define RUNC "/usr/bin/runc"

/* The writing ends of a container's pipes. */
struct output {
    int out;
    int error;
};

static struct child deletion;
static bool deleting;

/* A pipe whose content goes to a log and the console. The writing end. */
static int piped(const char *label, const char *id, const char *suffix, struct failure *failure)
{
    char path[PATH_SIZE];
    int ends[2];
    snprintf(path, sizeof path, "/run/log/%s/%s.%s%s", label, label, id, suffix);
    int log = bundle_log(path, failure);
    if (log < 0)
        say("%s %s: %s", label, id, failure->text);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return failed_errno(failure, "pipe");
    if (relay_add(ends[0], log, failure) < 0) {
        close(ends[0]);
        close(ends[1]);
        return -1;
    }
    return ends[1];
}

static int open_output(struct output *output, const char *label, const char *id, struct failure *failure)
{
    output->out = piped(label, id, ".out.log", failure);
    output->error = output->out < 0 ? -1 : piped(label, id, ".log", failure);
    return output->error;
}

static void close_output(struct output *output)
{
    if (output->out >= 0)
        close(output->out);
    if (output->error >= 0)
        close(output->error);
    output->out = output->error = -1;
}

/* Runs runc to its end. */
static int runc(const char *const arguments[], int out, int error, struct failure *failure)
{
    char status[64];
    struct child child;
    if (child_start(&child, arguments, out, error, failure) < 0)
        return -1;
    if (!child_wait(&child))
        return failed(failure, "interrupted by power-off");
    if (child.status == 0)
        return 0;
    describe_status(child.status, status, sizeof status);
    return failed(failure, "runc %s: %s", arguments[1], status);
}

/* The pid that runc has written; 0 when there is none. */
static pid_t read_pid(const char *path)
{
    char text[32];
    if (file_line(path, text, sizeof text) < 0)
        return 0;
    long pid = strtol(text, NULL, 10);
    return pid > 1 && pid <= 1 << 22 ? (pid_t)pid : 0;
}

/* What follows the creation: interfaces, start, end. */
static int run_created(const struct bundle *bundle, pid_t pid, const struct output *output, struct failure *failure)
{
    char status[64];
    struct child child;
    child_watch(&child, pid);
    int result = bundle_attach(bundle, pid, failure);
    if (result == 0)
        result = runc((const char *const[]){RUNC, "start", bundle->id, NULL}, output->out, output->error, failure);
    if (result < 0) {
        child_forget(&child);
        return -1;
    }
    if (!child_wait(&child))
        return failed(failure, "interrupted by power-off");
    if (child.status == 0)
        return 0;
    describe_status(child.status, status, sizeof status);
    return failed(failure, "%s", status);
}

static void end_delete(void)
{
    char status[64];
    if (!deleting)
        return;
    deleting = false;
    if (!child_wait(&deletion) || deletion.status == 0)
        return;
    describe_status(deletion.status, status, sizeof status);
    say("runc delete: %s", status);
}

/* Clears up behind a container while the next one starts already. */
static void begin_delete(const char *id, const struct output *output)
{
    struct failure failure;
    const char *const arguments[] = {RUNC, "delete", "--force", id, NULL};
    end_delete();
    deleting = child_start(&deletion, arguments, output->out, output->error, &failure) == 0;
    if (!deleting)
        say("runc delete: %s", failure.text);
}

static int run(const struct bundle *bundle, const char *label, struct failure *failure)
{
    char pid_file[PATH_SIZE];
    struct output output;
    if (bundle_prepare(bundle, failure) < 0)
        return -1;
    snprintf(pid_file, sizeof pid_file, "/run/compos/%s.pid", bundle->id);
    if (directory_make("/run/compos") < 0)
        return failed_errno(failure, "/run/compos");
    int result = open_output(&output, label, bundle->id, failure);
    const char *id = bundle->id;
    const char *const create[] = {RUNC, "create", "--bundle", bundle->path, "--pid-file", pid_file, id, NULL};
    if (result >= 0)
        result = runc(create, output.out, output.error, failure);
    if (result >= 0) {
        pid_t pid = read_pid(pid_file);
        result = pid ? run_created(bundle, pid, &output, failure) : failed(failure, "runc create: no pid");
        begin_delete(id, &output);
    }
    close_output(&output);
    relay_drain();
    unlink(pid_file);
    return result;
}

static void run_container(const struct plan *plan, size_t index, size_t end, const char *label)
{
    struct bundle bundle;
    struct failure failure;
    char what[256];
    const char *id = plan->lines[index].argument[0];
    int result = bundle_read(&bundle, plan, index, end, &failure);
    if (result == 0) {
        result = run(&bundle, label, &failure);
        umount2(bundle.rootfs, MNT_DETACH);
    }
    if (result < 0)
        say("%s %s: %s", label, id, failure.text);
    snprintf(what, sizeof what, "%s %s %s", label, id, result < 0 ? "failed" : "done");
    say_time(what);
}

static void link_logs(const char *label)
{
    char target[64], path[64];
    snprintf(target, sizeof target, "/run/log/%s", label);
    snprintf(path, sizeof path, "/var/log/%s", label);
    if (access(target, F_OK) == 0 && directory_make("/var/log") == 0)
        (void)!symlink(target, path);
}

void runc_stage(const struct plan *plan, enum plan_stage stage, const char *label)
{
    size_t end = plan->end[stage];
    bool missing = access(RUNC, X_OK) < 0;
    bool told = false;
    for (size_t i = plan->begin[stage]; i < end;) {
        if (process_power() != POWER_NONE && stage != STAGE_SHUTDOWN)
            break;
        const struct plan_line *line = &plan->lines[i];
        if (line->word != WORD_CONTAINER)
            stage_line(line);
        else if (!missing)
            run_container(plan, i, end, label);
        else if (!told) {
            say("%s: no " RUNC ", no containers", label);
            told = true;
        }
        i = plan_container_end(plan, i, end);
    }
    end_delete();
    link_logs(label);
}
