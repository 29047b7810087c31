/* oneshot.c: see oneshot.h. */
#include "containers/oneshot.h"

#include "base/console.h"
#include "base/failure.h"
#include "base/files.h"
#include "base/process.h"
#include "boot/stage.h"
#include "containers/bundle.h"
#include "containers/oci.h"
#include "containers/spec.h"
#include "log/log.h"
#include "slots/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

/* The writing ends of a container's pipes. */
struct output_pipes {
    int out;
    int error;
};

static struct child oneshot_deletion;
static bool oneshot_deleting;

/* A pipe whose content goes to a log and the console. The writing end. */
static int oneshot_piped(const char *label, const char *id, const char *suffix,
                         struct failure *failure)
{
    char path[PATH_SIZE];
    int ends[2];
    enum { ROOM = 4 << 20 };
    snprintf(path, sizeof path, "%s.%s%.*s", label, id, (int)(strlen(suffix) - strlen(".log")),
             suffix);
    int log = log_external(path);
    snprintf(path, sizeof path, "/run/log/%s/%s.%s%s", label, label, id, suffix);
    if (log < 0)
        log = bundle_log(path, failure);
    if (log < 0)
        say("%s %s: %s", label, id, failure->text);
    int result = pipe2(ends, O_CLOEXEC) < 0 ? failed_errno(failure, "pipe") : 0;
    if (result == 0 && relay_add(ends[0], log, ROOM, failure) == 0)
        return ends[1];
    if (result == 0) {
        close(ends[0]);
        close(ends[1]);
    }
    if (log >= 0)
        close(log);
    return -1;
}

static int oneshot_open_output(struct output_pipes *output, const char *label, const char *id,
                               struct failure *failure)
{
    output->out = oneshot_piped(label, id, ".out.log", failure);
    output->error = output->out < 0 ? -1 : oneshot_piped(label, id, ".log", failure);
    return output->error;
}

static void oneshot_close_output(struct output_pipes *output)
{
    if (output->out >= 0)
        close(output->out);
    if (output->error >= 0)
        close(output->error);
    output->out = output->error = -1;
}

/* What a container has around its end (plan: `timeout`, `failure`). */
struct limits {
    int64_t deadline; /* INT64_MAX: none */
    const char *failure;
};

static struct limits oneshot_limits_of(const struct bundle *bundle)
{
    struct limits limits = {INT64_MAX, "continue"};
    for (size_t i = 0; i < bundle->count; i++) {
        long long number =
            plan_number(bundle->lines[i].argument[0] ? bundle->lines[i].argument[0] : "");
        if (bundle->lines[i].word == WORD_TIMEOUT && number > 0 && number < INT64_MAX / 2)
            limits.deadline = process_now() + number;
        if (bundle->lines[i].word == WORD_FAILURE)
            limits.failure = bundle->lines[i].argument[0];
    }
    return limits;
}

static int oneshot_wait_end(struct child *child, const char *what, int64_t deadline,
                            struct failure *failure)
{
    char status[64];
    if (child_wait_until(child, deadline) < 0)
        return failed(failure, deadline <= process_now() ? "did not end in time: killed"
                                                         : "interrupted by power-off");
    if (child->status == 0)
        return 0;
    describe_status(child->status, status, sizeof status);
    return failed(failure, "%s%s", what, status);
}

static const char *oneshot_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Runs the runtime to its end. */
static int oneshot_runtime(const char *const arguments[], const struct output_pipes *output,
                           int64_t deadline, struct failure *failure)
{
    char what[64] = "";
    struct child child;
    if (child_start(&child, arguments, output->out, output->error, failure) < 0)
        return -1;
    if (strcmp(arguments[1], "run") != 0)
        snprintf(what, sizeof what, "%s %s: ", oneshot_base_name(arguments[0]), arguments[1]);
    return oneshot_wait_end(&child, what, deadline, failure);
}

/* What follows the creation: interfaces, start, end. */
static int oneshot_run_created(const struct bundle *bundle, pid_t pid,
                               const struct output_pipes *output, int64_t deadline,
                               struct failure *failure)
{
    struct child child;
    child_watch(&child, pid);
    int result = bundle_attach(bundle, pid, failure);
    if (result == 0)
        result = oneshot_runtime((const char *const[]){oci_program(), "start", bundle->id, NULL},
                                 output, deadline, failure);
    if (result < 0) {
        child_forget(&child);
        return -1;
    }
    return oneshot_wait_end(&child, "", deadline, failure);
}

static void oneshot_end_delete(void)
{
    if (oneshot_deleting)
        child_wait(&oneshot_deletion);
    oneshot_deleting = false;
}

/*
 * Kills what is left of a container and clears up behind it, while the next one starts already. A
 * runtime that still waits for its container clears up itself then, so that this one may find
 * nothing: neither is worth a word.
 */
static void oneshot_begin_delete(const char *id)
{
    struct failure failure;
    const char *const arguments[] = {oci_program(), "delete", "--force", id, NULL};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    oneshot_end_delete();
    oneshot_deleting = child_start(&oneshot_deletion, arguments, null, null, &failure) == 0;
    close(null);
}

/* Creation and start apart, for what is given to the process in between. */
static int oneshot_create_and_run(const struct bundle *bundle, const char *folder,
                                  const struct output_pipes *output, int64_t deadline,
                                  struct failure *failure)
{
    char pid_file[PATH_SIZE];
    const char *id = bundle->id;
    snprintf(pid_file, sizeof pid_file, "/run/compos/%s.pid", id);
    const char *const create[] = {oci_program(), "create", "--bundle", folder,
                                  "--pid-file",  pid_file, id,         NULL};
    int result = oneshot_runtime(create, output, deadline, failure);
    if (result >= 0) {
        pid_t pid = oci_pid(pid_file);
        result = pid ? oneshot_run_created(bundle, pid, output, deadline, failure)
                     : failed(failure, "%s create: no process id", oci_program());
    }
    oneshot_begin_delete(id);
    unlink(pid_file);
    return result;
}

static int oneshot_run(const struct bundle *bundle, const char *label, int64_t deadline,
                       struct failure *failure)
{
    struct output_pipes output;
    char folder[PATH_SIZE];
    if (bundle_prepare(bundle, failure) < 0)
        return -1;
    if (directory_make("/run/compos") < 0)
        return failed_errno(failure, "/run/compos");
    if (spec_place(bundle, folder, sizeof folder, failure) < 0)
        return -1;
    int result = oneshot_open_output(&output, label, bundle->id, failure);
    const char *const whole[] = {oci_program(), "run", "--bundle", folder, bundle->id, NULL};
    if (result >= 0 && bundle_attaches(bundle))
        result = oneshot_create_and_run(bundle, folder, &output, deadline, failure);
    else if (result >= 0) {
        /* One start of the runtime instead of three. */
        result = oneshot_runtime(whole, &output, deadline, failure);
        if (result < 0)
            oneshot_begin_delete(bundle->id);
    }
    spec_unplace(bundle);
    oneshot_close_output(&output);
    relay_drain();
    return result;
}

/* What the plan says of a failure: nothing, or the end; on trial, the other slot is better. */
static void oneshot_answer_failure(const char *what, const char *id, const struct failure *failure)
{
    char reason[sizeof failure->text + 64];
    snprintf(reason, sizeof reason, "%.48s: %s", id, failure->text);
    if (strcmp(what, "continue") != 0 && trial_give_up(reason))
        return;
    if (strcmp(what, "halt") == 0)
        process_request(POWER_HALT);
    else if (strcmp(what, "reboot") == 0)
        process_request(POWER_REBOOT);
}

static void oneshot_run_container(const struct plan *plan, size_t index, size_t end,
                                  const char *label)
{
    struct bundle bundle;
    struct failure failure;
    char what[256];
    const char *id = plan->lines[index].argument[0];
    int result = bundle_read(&bundle, plan, index, end, &failure);
    if (result == 0) {
        struct limits limits = oneshot_limits_of(&bundle);
        result = oneshot_run(&bundle, label, limits.deadline, &failure);
        umount2(bundle.rootfs, MNT_DETACH);
        if (result < 0)
            oneshot_answer_failure(limits.failure, id, &failure);
    }
    if (result < 0)
        say("%s %s: %s", label, id, failure.text);
    snprintf(what, sizeof what, "%s %s %s", label, id, result < 0 ? "failed" : "done");
    say_time(what);
}

static void oneshot_link_logs(const char *label)
{
    char target[64], path[64];
    snprintf(target, sizeof target, "/run/log/%s", label);
    snprintf(path, sizeof path, "/var/log/%s", label);
    if (access(target, F_OK) == 0 && directory_make("/var/log") == 0)
        (void)!symlink(target, path);
}

/* Whether the line begins a container that unseals, or prepares containers and runs nothing. */
static bool oneshot_is_early(const struct plan *plan, size_t index, size_t end)
{
    if (plan->lines[index].word != WORD_CONTAINER)
        return plan->lines[index].word != WORD_SCRIPT;
    for (size_t i = index + 1; i < plan_container_end(plan, index, end); i++)
        if (plan->lines[i].word == WORD_UNSEAL)
            return true;
    return false;
}

/* The lines of a stage from `begin` on; with `early`, up to the first one that is not. */
static size_t oneshot_lines(const struct plan *plan, enum plan_stage stage, size_t begin,
                            const char *label, bool early)
{
    size_t end = plan->end[stage], i = begin;
    bool reported = false;
    while (i < end) {
        if (process_power() != POWER_NONE && stage != STAGE_SHUTDOWN)
            break;
        if (early && !oneshot_is_early(plan, i, end))
            break;
        const struct plan_line *line = &plan->lines[i];
        if (line->word != WORD_CONTAINER)
            stage_line(line);
        else if (access(oci_program(), X_OK) == 0) {
            oci_ready();
            oneshot_run_container(plan, i, end, label);
        } else if (!reported) {
            say("%s: no %s, no containers", label, oci_program());
            reported = true;
        }
        i = plan_container_end(plan, i, end);
    }
    return i;
}

/* How far `onboot` has come before the stage itself began. */
static size_t oneshot_unsealed;

void oneshot_unseal(const struct plan *plan)
{
    size_t begin = plan->begin[STAGE_ONBOOT];
    bool wanted = false;
    for (size_t i = begin; i < plan->end[STAGE_ONBOOT] && !wanted; i++)
        wanted = plan->lines[i].word == WORD_UNSEAL;
    if (wanted)
        oneshot_unsealed = oneshot_lines(plan, STAGE_ONBOOT, begin, "onboot", true) - begin;
}

void oneshot_stage(const struct plan *plan, enum plan_stage stage, const char *label)
{
    size_t done = stage == STAGE_ONBOOT ? oneshot_unsealed : 0;
    oneshot_lines(plan, stage, plan->begin[stage] + done, label, false);
    oneshot_end_delete();
    oneshot_link_logs(label);
}
