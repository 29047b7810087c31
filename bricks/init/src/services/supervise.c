/* supervise.c: see supervise.h. */
#include "services/supervise.h"

#include "base/console.h"
#include "base/failure.h"
#include "base/files.h"
#include "containerd/containerd_daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A run this long means that the failures before it are over (milliseconds). */
enum { STEADY = 10000, FIRST_PROBE = 300, KILL_TIMEOUT = 5000 };

/* As of a program that could not be run (exit status 127). */
enum { SUPERVISE_FAILED = 127 << 8 };

struct supervision supervision = {.helpers = {.reports = -1}};

struct service *supervise_find(const char *name)
{
    for (size_t i = 0; i < supervision.count; i++)
        if (!supervision.services[i].dropped &&
            strcmp(supervision.services[i].bundle.id, name) == 0)
            return &supervision.services[i];
    return NULL;
}

/* One that was dropped is there again, with its logs. */
static void supervise_bring_back(struct service *service, struct replacement *next)
{
    service->dropped = false;
    service_free_replacement(service->next);
    service->next = next;
    supervise_request(service, REQUEST_RESTART);
}

struct service *supervise_add(struct replacement *next)
{
    supervision.changed = true;
    for (size_t i = 0; i < supervision.count; i++) {
        struct service *service = &supervision.services[i];
        if (service->dropped && strcmp(service->bundle.id, next->service.bundle.id) == 0) {
            supervise_bring_back(service, next);
            return service;
        }
    }
    if (supervision.count == supervision.room)
        return NULL;
    struct service *service = &supervision.services[supervision.count++];
    *service = next->service;
    service->first = next;
    service->end.descriptor = -1;
    service->since = process_now();
    return service;
}

void supervise_drop(struct service *service)
{
    service->dropped = true;
    supervision.changed = true;
    supervise_request(service, REQUEST_STOP);
}

/* Something has happened: where it stands now. */
static void supervise_enter(struct service *service, enum event event)
{
    const char *word = service_state(service);
    enum state next = state_next(service->state, event);
    if (next == STATE_REFUSED) {
        say("service %s: event %d does not fit the state %s", service->bundle.id, (int)event, word);
        return;
    }
    service->state = next;
    if (next == STATE_WAITING && service->goal == GOAL_RESTART)
        service->goal = GOAL_RUN;
    /* To whoever looks at it, a service that waits in vain has waited since it began to. */
    if (strcmp(word, service_state(service)) != 0) {
        service->since = process_now();
        supervision.changed = true;
    }
}

void supervise_break(struct service *service)
{
    supervise_enter(service, EVENT_BREAK);
    service->starts = 1;
    service->status = SUPERVISE_FAILED;
}

void supervise_request(struct service *service, enum request request)
{
    enum goal goal = state_request(service->goal, service->state, request);
    if (goal == GOAL_REFUSED)
        return;
    service->goal = goal;
    if (request == REQUEST_START || request == REQUEST_RESTART)
        service->failures = 0;
}

static void supervise_announce(const struct service *service, const char *what)
{
    char text[320];
    snprintf(text, sizeof text, "service %.200s %s", service->bundle.id, what);
    say_time(text);
}

/* The end of a process that is not our child: its status is unknown until containerd reports it. */
static void supervise_main_ended(struct watch *watch)
{
    for (size_t i = 0; i < supervision.count; i++) {
        struct service *service = &supervision.services[i];
        if (&service->end != watch)
            continue;
        watch_remove(watch);
        close(watch->descriptor);
        watch->descriptor = -1;
        if (!service->main.ended) {
            service->main.ended = true;
            service->main.status = STATUS_UNKNOWN;
        }
    }
}

enum { PROCESS_STATUS = 8192 };

/* Reads /proc/PID/status; empty when there is no such process. */
static void supervise_read_proc_status(pid_t pid, char text[PROCESS_STATUS])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (file_line(path, text, PROCESS_STATUS) < 0)
        *text = '\0';
}

/* What a status says behind `key` ("\nPPid:"), or NULL. */
static const char *supervise_status_field(const char *text, const char *key)
{
    const char *line = strstr(text, key);
    return line ? line + strlen(key) : NULL;
}

/* The parent of a process, or 0. */
static pid_t supervise_parent_of(pid_t pid)
{
    char text[PROCESS_STATUS];
    supervise_read_proc_status(pid, text);
    const char *parent = supervise_status_field(text, "\nPPid:");
    return parent ? (pid_t)strtol(parent, NULL, 10) : 0;
}

static void supervise_end_watch(struct service *service)
{
    if (service->cause != CAUSE_REQUEST)
        service->cause = service->shim.watched && service->shim.ended ? CAUSE_SHIM : CAUSE_OWN;
    child_forget(&service->shim);
    child_forget(&service->main);
    if (service->end.descriptor >= 0) {
        watch_remove(&service->end);
        close(service->end.descriptor);
        service->end.descriptor = -1;
    }
}

void supervise_pid(struct service *service, pid_t pid)
{
    service->pid = pid;
    containerd_daemon_reset_oom_score(pid);
    child_watch(&service->main, pid);
    if (!supervision.helpers.socket || service->main.ended)
        return;
    pid_t shim = supervise_parent_of(pid);
    if (shim > 1)
        child_watch(&service->shim, shim);
    service->end = (struct watch){.descriptor = (int)syscall(SYS_pidfd_open, pid, 0),
                                  .ready = supervise_main_ended};
    if (service->end.descriptor >= 0) {
        fcntl(service->end.descriptor, F_SETFD, FD_CLOEXEC);
        watch_add(&service->end);
        return;
    }
    service->main.ended = true;
    service->main.status = STATUS_UNKNOWN;
}

/* Runs `work` in a process of its own. */
static int supervise_begin_helper(struct service *service, struct child *child,
                                  int (*work)(const struct helpers *, const struct service *,
                                              uint32_t))
{
    struct failure failure;
    pid_t pid = child_fork(child, &failure);
    if (pid == 0)
        _exit(work(&supervision.helpers, service, (uint32_t)(service - supervision.services)));
    if (pid < 0)
        say("service %s: %s", service->bundle.id, failure.text);
    return pid < 0 ? -1 : 0;
}

static int supervise_test_work(const struct helpers *given, const struct service *service,
                               uint32_t position)
{
    (void)position;
    return service_helper_test(given, service);
}

/*
 * Whether `service` has what one of its `after` lines asks for; `never`: it cannot come any more by
 * itself.
 */
static bool supervise_is_satisfied(const struct plan_line *line, bool *never)
{
    const struct service *other = supervise_find(line->argument[0]);
    if (!other)
        return true;
    *never = service_has_ended(other);
    switch (service_condition(line->argument[1])) {
    case CONDITION_HEALTHY:
        return other->state == STATE_RUNNING && other->health == HEALTHY;
    case CONDITION_RUNNING:
        return other->state == STATE_RUNNING;
    case CONDITION_COMPLETED:
        return service_has_ended(other) && service_succeeded(other);
    default:
        return other->starts > 0 && other->state != STATE_STARTING &&
               other->state != STATE_WAITING && other->state != STATE_BLOCKED;
    }
}

const struct plan_line *supervise_waits_for(const struct service *service, bool *never)
{
    for (size_t i = 0; i < service->bundle.count; i++)
        if (service->bundle.lines[i].word == WORD_AFTER &&
            !supervise_is_satisfied(&service->bundle.lines[i], never))
            return &service->bundle.lines[i];
    return NULL;
}

static void supervise_start(struct service *service)
{
    service->cause = CAUSE_OWN;
    service->pid = 0;
    service->health = service->check.test ? HEALTH_STARTING : HEALTH_NONE;
    service->probes = 0;
    service->main = (struct child){0};
    service->end.descriptor = -1;
    if (supervise_begin_helper(service, &service->helper, service_helper_start) == 0) {
        supervise_enter(service, EVENT_START);
        return;
    }
    service->failures++;
    service->deadline = process_now() + service_pause(service->failures);
    supervise_enter(service, EVENT_PAUSE);
}

static void supervise_step_waiting(struct service *service, bool ready)
{
    bool never = false;
    service_take_replacement(service);
    if (service->goal == GOAL_STOP || supervision.stopping) {
        service->cause = CAUSE_REQUEST;
        supervise_enter(service, EVENT_REST);
        return;
    }
    const struct plan_line *line = supervise_waits_for(service, &never);
    if (!line) {
        if (ready)
            supervise_start(service);
    } else if (never && service->state == STATE_WAITING) {
        say("service %s waits: %s is not %s", service->bundle.id, line->argument[0],
            line->argument[1]);
        supervise_enter(service, EVENT_BLOCKED);
    } else if (!never && service->state == STATE_BLOCKED) {
        supervise_enter(service, EVENT_UNBLOCKED);
    }
}

static void supervise_begin_cleaning(struct service *service)
{
    if (service->probe.watched)
        service_helper_kill_test(service);
    child_forget(&service->probe);
    if (service->state == STATE_RUNNING && process_now() - service->since > STEADY)
        service->failures = 0;
    service->status = service->main.status;
    supervise_end_watch(service);
    /* At shutdown nobody needs an orderly store any more. */
    if (supervision.stopping ||
        supervise_begin_helper(service, &service->helper, service_helper_clean) < 0)
        service->helper = (struct child){.ended = true};
    supervise_enter(service, EVENT_ENDED);
}

static void supervise_step_starting(struct service *service)
{
    if (supervision.stopping && !service->helper.ended)
        kill(-service->helper.pid, SIGKILL);
    if (!service->helper.ended)
        return;
    bool good = service->helper.status == 0;
    child_forget(&service->helper);
    service->starts++;
    if (good) {
        int64_t now = process_now();
        service->probe_at = now + FIRST_PROBE;
        supervise_enter(service, EVENT_CREATED);
        supervise_announce(service, service->restarts > 0 ? "started again" : "started");
        return;
    }
    if (service->main.watched && !service->main.ended)
        kill(service->pid, SIGKILL);
    service->main.status = SUPERVISE_FAILED;
    supervise_begin_cleaning(service);
}

enum { LOOKS = 5, BETWEEN_LOOKS = 2000000 /* nanoseconds */ };

/* Whether a signal is in one of the masks that /proc/PID/status shows, or that cannot be read. */
static bool supervise_has_signal(const char *status, const char *mask, int number)
{
    const char *found = supervise_status_field(status, mask);
    return !found || strtoull(found, NULL, 16) >> (number - 1) & 1;
}

/*
 * Whether the process would ever see the signal. The first process of a PID namespace is spared all
 * signals but KILL that it neither handles nor blocks (pid_namespaces(7)): waiting for it would be
 * in vain. Whoever waits for a signal blocks it for good; fork() blocks all for a moment.
 */
static bool supervise_receives_signal(pid_t pid, int number)
{
    const struct timespec pause = {0, BETWEEN_LOOKS};
    char path[64], ours[64], theirs[64], text[PROCESS_STATUS];
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
    ssize_t own = readlink("/proc/self/ns/pid", ours, sizeof ours),
            other = readlink(path, theirs, sizeof theirs);
    if (own < 0 || own != other || memcmp(ours, theirs, (size_t)own) == 0)
        return true;
    for (int look = 0; look < LOOKS; look++) {
        if (look > 0)
            nanosleep(&pause, NULL);
        supervise_read_proc_status(pid, text);
        if (supervise_has_signal(text, "\nSigCgt:", number))
            return true;
        if (!supervise_has_signal(text, "\nSigBlk:", number))
            return false;
    }
    return true;
}

static void supervise_begin_stop(struct service *service)
{
    int64_t now = process_now();
    bool orderly =
        service->grace > 0 && supervise_receives_signal(service->pid, service->stop_signal);
    service->cause = CAUSE_REQUEST;
    service->deadline = now + (orderly ? service->grace : KILL_TIMEOUT);
    kill(service->pid, orderly ? service->stop_signal : SIGKILL);
    supervise_enter(service, EVENT_STOP);
}

static void supervise_set_health(struct service *service, enum health health)
{
    static const char *const words[] = {"", "", "healthy", "unhealthy"};
    if (service->health == health)
        return;
    service->health = health;
    supervision.changed = true;
    supervise_announce(service, words[health]);
}

static void supervise_take_test(struct service *service, bool good, int64_t now)
{
    const struct health_settings *check = &service->check;
    bool young = now - service->since < check->start_period;
    bool first = service->health == HEALTH_STARTING;
    service->probe_at = now + (young && first ? check->start_interval : check->interval);
    if (good) {
        service->probes = 0;
        supervise_set_health(service, HEALTHY);
    } else if (!young || !first) {
        service->probes++;
        if (service->probes >= check->retries)
            supervise_set_health(service, UNHEALTHY);
    }
}

static void supervise_step_health(struct service *service, int64_t now)
{
    if (!service->check.test)
        return;
    if (service->probe.watched && (service->probe.ended || now >= service->probe_end)) {
        bool good = service->probe.ended && service->probe.status == 0;
        if (!service->probe.ended)
            service_helper_kill_test(service);
        child_forget(&service->probe);
        supervise_take_test(service, good, now);
    }
    if (!service->probe.watched && now >= service->probe_at) {
        service->probe_end = now + service->check.timeout;
        if (supervise_begin_helper(service, &service->probe, supervise_test_work) < 0)
            service->probe_at = now + service->check.interval;
    }
}

static bool supervise_is_needed(const struct service *service)
{
    for (size_t i = 0; i < supervision.count; i++) {
        const struct service *other = &supervision.services[i];
        if (service_is_down(other) || other == service)
            continue;
        for (size_t j = 0; j < other->bundle.count; j++) {
            const struct plan_line *line = &other->bundle.lines[j];
            if (line->word == WORD_AFTER && strcmp(line->argument[0], service->bundle.id) == 0)
                return true;
        }
    }
    return false;
}

static void supervise_step_running(struct service *service)
{
    if (service->main.ended)
        supervise_begin_cleaning(service);
    else if (service->goal != GOAL_RUN || (supervision.stopping && !supervise_is_needed(service)))
        supervise_begin_stop(service);
    else
        supervise_step_health(service, process_now());
}

static void supervise_step_stopping(struct service *service)
{
    int64_t now = process_now();
    if (service->main.ended) {
        supervise_begin_cleaning(service);
        return;
    }
    if (now < service->deadline)
        return;
    say("service %s did not end: killed", service->bundle.id);
    kill(service->pid, SIGKILL);
    service->deadline = now + KILL_TIMEOUT;
}

static void supervise_announce_end(const struct service *service)
{
    char status[64] = "ended", text[128];
    if (service->status != STATUS_UNKNOWN)
        describe_status(service->status, status, sizeof status);
    snprintf(text, sizeof text, "%s: %s", service->cause == CAUSE_REQUEST ? "stopped" : "ended",
             status);
    supervise_announce(service, text);
}

static void supervise_step_cleaning(struct service *service)
{
    if (supervision.stopping && !service->helper.ended)
        kill(-service->helper.pid, SIGKILL);
    if (!service->helper.ended)
        return;
    child_forget(&service->helper);
    supervise_announce_end(service);
    if (service->goal == GOAL_RESTART && !supervision.stopping) {
        supervise_enter(service, EVENT_AGAIN);
        return;
    }
    service->failures += service->cause != CAUSE_REQUEST;
    /* Whatever the policy is: it is of the service's own ends. */
    bool again = service_restarts(service) || service->cause == CAUSE_SHIM;
    if (service->cause == CAUSE_SHIM)
        say("service %s: its shim has ended", service->bundle.id);
    if (supervision.stopping || service->goal == GOAL_STOP || !again) {
        supervise_enter(service, EVENT_REST);
        return;
    }
    int64_t pause = service_pause(service->failures);
    service->deadline = process_now() + pause;
    if (pause >= 1000)
        say("service %s: next start in %lld s", service->bundle.id, (long long)pause / 1000);
    supervise_enter(service, EVENT_PAUSE);
}

static void supervise_step_pausing(struct service *service)
{
    if (service->goal == GOAL_RUN && !supervision.stopping && process_now() < service->deadline)
        return;
    service->restarts += service->goal != GOAL_STOP && !supervision.stopping;
    supervise_enter(service, EVENT_AGAIN);
}

void supervise_step(struct service *service, bool ready)
{
    switch (service->state) {
    case STATE_WAITING:
    case STATE_BLOCKED:
        supervise_step_waiting(service, ready);
        break;
    case STATE_STARTING:
        supervise_step_starting(service);
        break;
    case STATE_RUNNING:
        supervise_step_running(service);
        break;
    case STATE_STOPPING:
        supervise_step_stopping(service);
        break;
    case STATE_CLEANING:
        supervise_step_cleaning(service);
        break;
    case STATE_PAUSING:
        supervise_step_pausing(service);
        break;
    case STATE_EXITED:
        if (service->goal == GOAL_RESTART && !supervision.stopping)
            supervise_enter(service, EVENT_AGAIN);
        break;
    default:
        break;
    }
}

int64_t supervise_next(const struct service *service)
{
    switch (service->state) {
    case STATE_STOPPING:
    case STATE_PAUSING:
        return service->deadline;
    case STATE_RUNNING:
        return !service->check.test     ? 0
               : service->probe.watched ? service->probe_end
                                        : service->probe_at;
    default:
        return 0;
    }
}
