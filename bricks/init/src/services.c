/* services.c: see services.h. */
#include "services.h"

#include "console.h"
#include "control.h"
#include "daemon.h"
#include "files.h"
#include "helper.h"
#include "log.h"
#include "oci.h"
#include "process.h"
#include "service.h"
#include "stage.h"
#include "status.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A run this long means that the failures before it are over (milliseconds). */
enum { STEADY = 10000, FIRST_LOOK = 300, PATIENCE_AFTER_KILL = 5000 };

static const struct plan *plan;
static struct service *services;
static size_t service_count;
static struct helpers helpers = {.reports = -1};
static struct watch reports;
static struct timer timer;
static bool changed, stopping, stepping;

static struct service *find(const char *name)
{
    for (size_t i = 0; i < service_count; i++)
        if (strcmp(services[i].bundle.id, name) == 0)
            return &services[i];
    return NULL;
}

static void enter(struct service *service, enum state state)
{
    service->state = state;
    service->since = process_now();
    changed = true;
}

static void tell(const struct service *service, const char *what)
{
    char text[320];
    snprintf(text, sizeof text, "service %.200s %s", service->bundle.id, what);
    say_time(text);
}

static void watch_child(struct child *child, bool *watched, pid_t pid)
{
    child_watch(child, pid);
    *watched = true;
}

static void forget_child(struct child *child, bool *watched)
{
    if (*watched)
        child_forget(child);
    *watched = false;
}

/* The end of a process that is not our child: its status is unknown until containerd tells it. */
static void main_ended(struct watch *watch)
{
    for (size_t i = 0; i < service_count; i++) {
        struct service *service = &services[i];
        if (&service->end != watch)
            continue;
        watch_remove(watch);
        close(watch->descriptor);
        watch->descriptor = -1;
        if (!service->main.ended) {
            service->main.ended = true;
            service->main.status = 0;
            service->unknown = true;
        }
    }
}

static void end_watch(struct service *service)
{
    forget_child(&service->main, &service->main_watched);
    if (service->end.descriptor >= 0) {
        watch_remove(&service->end);
        close(service->end.descriptor);
        service->end.descriptor = -1;
    }
}

static void take_pid(struct service *service, pid_t pid)
{
    service->pid = pid;
    service->unknown = false;
    daemon_spare(pid);
    watch_child(&service->main, &service->main_watched, pid);
    if (!helpers.socket || service->main.ended)
        return;
    service->end = (struct watch){.descriptor = (int)syscall(SYS_pidfd_open, pid, 0), .ready = main_ended};
    if (service->end.descriptor >= 0) {
        fcntl(service->end.descriptor, F_SETFD, FD_CLOEXEC);
        watch_add(&service->end);
        return;
    }
    service->main.ended = true;
    service->unknown = true;
}

static void take_reports(struct watch *watch)
{
    struct report report;
    while (read(watch->descriptor, &report, sizeof report) == sizeof report) {
        if (report.service >= service_count)
            continue;
        struct service *service = &services[report.service];
        switch (report.kind) {
        case REPORT_PID:
            take_pid(service, report.value);
            break;
        case REPORT_LAID:
            service->laid = true;
            break;
        case REPORT_STATUS:
            /* As waitpid has it: 128 and more is what a signal looks like from outside (shells, runc). */
            service->status = report.value > 128 && report.value < 128 + 65 ? report.value - 128 : report.value << 8;
            service->unknown = false;
            break;
        default:
            break;
        }
    }
}

/* Runs `work` in a process of its own. */
static bool begin_helper(struct service *service, struct child *child, bool *watched,
                         int (*work)(const struct helpers *, const struct service *, uint32_t))
{
    struct failure failure;
    pid_t pid = child_fork(child, &failure);
    if (pid == 0)
        _exit(work(&helpers, service, (uint32_t)(service - services)));
    *watched = pid > 0;
    if (pid < 0)
        say("service %s: %s", service->bundle.id, failure.text);
    return pid > 0;
}

static int test_work(const struct helpers *given, const struct service *service, uint32_t position)
{
    (void)position;
    return helper_test(given, service);
}

/* Whether `service` has what one of its `after` lines asks for; `never`: it cannot come any more by itself. */
static bool satisfied(const struct plan_line *line, bool *never)
{
    const struct service *other = find(line->argument[0]);
    if (!other)
        return true;
    *never = other->state == EXITED;
    switch (service_condition(line->argument[1])) {
    case CONDITION_HEALTHY:
        return other->state == RUNNING && other->health == HEALTHY;
    case CONDITION_COMPLETED:
        return other->state == EXITED && service_succeeded(other);
    default:
        return other->begun && other->state != STARTING && other->state != WAITING;
    }
}

/* The first thing that it waits for, or NULL. */
static const struct plan_line *waits_for(const struct service *service, bool *never)
{
    for (size_t i = 0; i < service->bundle.count; i++)
        if (service->bundle.lines[i].word == WORD_AFTER && !satisfied(&service->bundle.lines[i], never))
            return &service->bundle.lines[i];
    return NULL;
}

static void step_waiting(struct service *service, bool ready)
{
    bool never = false;
    if (!service->wanted || stopping) {
        service->stopped = true;
        enter(service, EXITED);
        return;
    }
    const struct plan_line *line = waits_for(service, &never);
    if (line) {
        if (never && !service->told)
            say("service %s waits: %s has not %s", service->bundle.id, line->argument[0], line->argument[1]);
        service->told = never;
        return;
    }
    if (!ready)
        return;
    service->stopped = service->again = service->told = false;
    service->pid = 0;
    service->health = service->check.test ? HEALTH_STARTING : HEALTH_NONE;
    service->probes = 0;
    service->main = (struct child){0};
    service->end.descriptor = -1;
    if (begin_helper(service, &service->helper, &service->helper_watched, helper_start)) {
        enter(service, STARTING);
        return;
    }
    service->failures++;
    service->deadline = process_now() + service_pause(service->failures);
    enter(service, PAUSING);
}

static void begin_cleaning(struct service *service)
{
    if (service->probe_watched)
        helper_end_test(service);
    forget_child(&service->probe, &service->probe_watched);
    if (service->state == RUNNING && process_now() - service->since > STEADY)
        service->failures = 0;
    service->status = service->main.status;
    end_watch(service);
    /* At shutdown nobody needs an orderly store any more. */
    if (stopping || !begin_helper(service, &service->helper, &service->helper_watched, helper_clean))
        service->helper = (struct child){.ended = true};
    enter(service, CLEANING);
}

static void step_starting(struct service *service)
{
    if (stopping && !service->helper.ended)
        kill(-service->helper.pid, SIGKILL);
    if (!service->helper.ended)
        return;
    bool good = service->helper.status == 0;
    forget_child(&service->helper, &service->helper_watched);
    service->begun = true;
    if (good) {
        int64_t now = process_now();
        service->probe_at = now + FIRST_LOOK;
        enter(service, RUNNING);
        tell(service, service->restarts > 0 ? "started again" : "started");
        return;
    }
    if (service->main_watched && !service->main.ended)
        kill(service->pid, SIGKILL);
    service->unknown = false;
    service->main.status = 127 << 8;
    begin_cleaning(service);
    service->status = 127 << 8;
}

/*
 * Whether the process would ever see the signal. The first process of a PID namespace is spared all signals but KILL that
 * it neither handles nor blocks (pid_namespaces(7)): waiting for it would be in vain.
 */
static bool hears(pid_t pid, int number)
{
    enum { SIZE = 8192 };
    static const char *const masks[] = {"\nSigBlk:", "\nSigCgt:"};
    char path[64], ours[64], theirs[64], text[SIZE];
    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
    ssize_t own = readlink("/proc/self/ns/pid", ours, sizeof ours), other = readlink(path, theirs, sizeof theirs);
    if (own < 0 || own != other || memcmp(ours, theirs, (size_t)own) == 0)
        return true;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (file_line(path, text, sizeof text) < 0)
        return true;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        const char *found = strstr(text, masks[i]);
        if (!found || strtoull(found + strlen(masks[i]), NULL, 16) >> (number - 1) & 1)
            return true;
    }
    return false;
}

static void begin_stop(struct service *service)
{
    int64_t now = process_now();
    bool patient = service->grace > 0 && hears(service->pid, service->stop_signal);
    service->stopped = true;
    service->deadline = now + (patient ? service->grace : PATIENCE_AFTER_KILL);
    kill(service->pid, patient ? service->stop_signal : SIGKILL);
    enter(service, STOPPING);
}

static void set_health(struct service *service, enum health health)
{
    static const char *const words[] = {"", "", "healthy", "unhealthy"};
    if (service->health == health)
        return;
    service->health = health;
    changed = true;
    tell(service, words[health]);
}

static void take_test(struct service *service, bool good, int64_t now)
{
    const struct health_settings *check = &service->check;
    bool young = now - service->since < check->start_period;
    bool first = service->health == HEALTH_STARTING;
    service->probe_at = now + (young && first ? check->start_interval : check->interval);
    if (good) {
        service->probes = 0;
        set_health(service, HEALTHY);
    } else if (!young || !first) {
        service->probes++;
        if (service->probes >= check->retries)
            set_health(service, UNHEALTHY);
    }
}

static void step_health(struct service *service, int64_t now)
{
    if (!service->check.test)
        return;
    if (service->probe_watched && (service->probe.ended || now >= service->probe_end)) {
        bool good = service->probe.ended && service->probe.status == 0;
        if (!service->probe.ended)
            helper_end_test(service);
        forget_child(&service->probe, &service->probe_watched);
        take_test(service, good, now);
    }
    if (!service->probe_watched && now >= service->probe_at) {
        service->probe_end = now + service->check.timeout;
        if (!begin_helper(service, &service->probe, &service->probe_watched, test_work))
            service->probe_at = now + service->check.interval;
    }
}

static bool needed(const struct service *service)
{
    for (size_t i = 0; i < service_count; i++) {
        const struct service *other = &services[i];
        if (other->state == EXITED || other->state == WAITING || other == service)
            continue;
        for (size_t j = 0; j < other->bundle.count; j++) {
            const struct plan_line *line = &other->bundle.lines[j];
            if (line->word == WORD_AFTER && strcmp(line->argument[0], service->bundle.id) == 0)
                return true;
        }
    }
    return false;
}

static void step_running(struct service *service)
{
    if (service->main.ended)
        begin_cleaning(service);
    else if (!service->wanted || service->again || (stopping && !needed(service)))
        begin_stop(service);
    else
        step_health(service, process_now());
}

static void step_stopping(struct service *service)
{
    int64_t now = process_now();
    if (service->main.ended) {
        begin_cleaning(service);
        return;
    }
    if (now < service->deadline)
        return;
    say("service %s does not end: killed", service->bundle.id);
    kill(service->pid, SIGKILL);
    service->deadline = now + PATIENCE_AFTER_KILL;
}

static void tell_end(const struct service *service)
{
    char status[64] = "ended", text[128];
    if (!service->unknown)
        describe_status(service->status, status, sizeof status);
    snprintf(text, sizeof text, "%s: %s", service->stopped ? "stopped" : "ended", status);
    tell(service, text);
}

static void step_cleaning(struct service *service)
{
    if (!service->helper.ended)
        return;
    forget_child(&service->helper, &service->helper_watched);
    tell_end(service);
    if (service->again && !stopping) {
        service->again = service->stopped = false;
        enter(service, WAITING);
        return;
    }
    service->failures += !service->stopped;
    if (stopping || !service->wanted || !service_restarts(service)) {
        enter(service, EXITED);
        return;
    }
    int64_t pause = service_pause(service->failures);
    service->deadline = process_now() + pause;
    if (pause >= 1000)
        say("service %s: next start in %lld s", service->bundle.id, (long long)pause / 1000);
    enter(service, PAUSING);
}

static void step_pausing(struct service *service)
{
    if (service->wanted && !stopping && !service->again && process_now() < service->deadline)
        return;
    service->restarts += service->wanted && !stopping;
    enter(service, WAITING);
}

static void step(struct service *service, bool ready)
{
    switch (service->state) {
    case WAITING:
        step_waiting(service, ready);
        break;
    case STARTING:
        step_starting(service);
        break;
    case RUNNING:
        step_running(service);
        break;
    case STOPPING:
        step_stopping(service);
        break;
    case CLEANING:
        step_cleaning(service);
        break;
    case PAUSING:
        step_pausing(service);
        break;
    default:
        if (service->again && !stopping)
            enter(service, WAITING);
    }
}

/* When `service` next needs a step without an event; 0: never. */
static int64_t next_of(const struct service *service)
{
    switch (service->state) {
    case STOPPING:
    case PAUSING:
        return service->deadline;
    case RUNNING:
        return !service->check.test ? 0 : service->probe_watched ? service->probe_end : service->probe_at;
    default:
        return 0;
    }
}

static void earliest(int64_t *next, int64_t time)
{
    if (time != 0 && (*next == 0 || time < *next))
        *next = time;
}

/* Moves everything on as far as it goes. */
static void step_all(void)
{
    if (stepping)
        return;
    stepping = true;
    bool under = daemon_present();
    bool ready = !under || daemon_ready(plan);
    log_check();
    for (int rounds = 0; rounds < 64; rounds++) {
        changed = false;
        for (size_t i = 0; i < service_count; i++)
            step(&services[i], ready);
        if (!changed)
            break;
        status_write(services, service_count);
    }
    int64_t next = under ? daemon_next() : 0;
    for (size_t i = 0; i < service_count; i++)
        earliest(&next, next_of(&services[i]));
    timer.at = next;
    stepping = false;
}

static void due(struct timer *unused)
{
    (void)unused;
}

/* Whether the stage has more to come by itself. */
static bool beginning(void)
{
    for (size_t i = 0; i < service_count; i++) {
        const struct service *service = &services[i];
        bool never = false;
        if (service->begun && service->state != STARTING)
            continue;
        if (service->state == EXITED || (service->state == WAITING && waits_for(service, &never) && never))
            continue;
        return true;
    }
    return false;
}

static void read_services(void)
{
    size_t begin = plan->begin[STAGE_SERVICES], end = plan->end[STAGE_SERVICES];
    struct failure failure;
    services = calloc(end - begin + 1, sizeof *services);
    for (size_t i = begin; services && i < end; i = plan_container_end(plan, i, end)) {
        if (plan->lines[i].word != WORD_CONTAINER)
            continue;
        struct service *service = &services[service_count];
        if (service_read(service, plan, i, end, &failure) < 0) {
            say("service %s: %s", plan->lines[i].argument[0], failure.text);
            continue;
        }
        service->end.descriptor = -1;
        service->since = process_now();
        service_count++;
    }
}

static int open_reports(struct failure *failure)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return failed_errno(failure, "pipe");
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    helpers.reports = ends[1];
    reports = (struct watch){.descriptor = ends[0], .ready = take_reports};
    watch_add(&reports);
    timer.due = due;
    timer_add(&timer);
    return 0;
}

static void tell_started(void)
{
    char what[64];
    size_t running = 0;
    for (size_t i = 0; i < service_count; i++)
        running += services[i].state == RUNNING || service_succeeded(&services[i]);
    snprintf(what, sizeof what, "services started (%zu of %zu)", running, service_count);
    say_time(what);
}

static void run_services(void)
{
    struct failure failure;
    if (!daemon_present() && access(oci_program(), X_OK) < 0) {
        say("services: neither containerd nor %s, none started", oci_program());
        return;
    }
    read_services();
    if (directory_make("/run/compos") < 0 || open_reports(&failure) < 0) {
        say("services: %s", strerror(errno));
        return;
    }
    helpers.socket = daemon_socket();
    log_start(services, service_count);
    control_start();
    process_after(step_all);
    while (process_power() == POWER_NONE && beginning())
        process_events(-1);
    tell_started();
}

void services_stage(const struct plan *given)
{
    bool run = false;
    plan = given;
    size_t end = plan->end[STAGE_SERVICES];
    for (size_t i = plan->begin[STAGE_SERVICES]; i < end && process_power() == POWER_NONE;
         i = plan_container_end(plan, i, end))
        if (plan->lines[i].word != WORD_CONTAINER)
            stage_line(&plan->lines[i]);
        else if (!run) {
            run = true;
            run_services();
        }
}

void services_stop(void)
{
    stopping = true;
    daemon_end();
    for (;;) {
        bool more = false;
        step_all();
        for (size_t i = 0; i < service_count; i++)
            more = more || services[i].state != EXITED;
        if (!more)
            break;
        process_events(-1);
    }
}

/* Restarts what says that it follows the restarts of `name`. */
static void restart_followers(const char *name)
{
    for (size_t i = 0; i < service_count; i++)
        for (size_t j = 0; j < services[i].bundle.count; j++) {
            const struct plan_line *line = &services[i].bundle.lines[j];
            if (line->word == WORD_AFTER && *line->argument[2] && strcmp(line->argument[0], name) == 0)
                services[i].again = services[i].state == RUNNING;
        }
}

const char *services_request(const char *action, const char *name)
{
    struct service *service = find(name);
    bool restart = strcmp(action, "restart") == 0;
    if (!service)
        return "no such service";
    if (strcmp(action, "stop") == 0) {
        service->wanted = service->again = false;
    } else if (restart || strcmp(action, "start") == 0) {
        bool alive = service->state == RUNNING || service->state == STARTING;
        service->wanted = true;
        service->failures = 0;
        service->again = restart || !alive;
        if (restart)
            restart_followers(name);
    } else
        return "unknown request";
    return NULL;
}
