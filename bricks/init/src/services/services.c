/* services.c: see services.h. */
#include "services/services.h"

#include "base/console.h"
#include "base/failure.h"
#include "base/files.h"
#include "base/process.h"
#include "base/request.h"
#include "boot/stage.h"
#include "containerd/containerd_daemon.h"
#include "containers/oci.h"
#include "log/log.h"
#include "services/control.h"
#include "services/status.h"
#include "services/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Services that can be added while the system runs; their places in memory never change. */
enum { MORE = 32 };

static const struct plan *services_plan;
static struct watch services_reports;
static void services_due(struct timer *unused);

static struct timer services_timer = {.due = services_due};
static bool services_stepping;

static void services_take_reports(struct watch *watch)
{
    struct report report;
    while (read(watch->descriptor, &report, sizeof report) == sizeof report) {
        if (report.service >= supervision.count)
            continue;
        struct service *service = &supervision.services[report.service];
        switch (report.kind) {
        case REPORT_PID:
            supervise_pid(service, report.value);
            break;
        case REPORT_PREPARED:
            service->prepared = true;
            break;
        case REPORT_STATUS:
            /*
             * As waitpid has it: 128 and more is what a signal looks like from outside (shells,
             * runc).
             */
            service->status = report.value > 128 && report.value < 128 + 65 ? report.value - 128
                                                                            : report.value << 8;
            break;
        default:
            break;
        }
    }
}

static void services_earliest(int64_t *next, int64_t time)
{
    if (time != 0 && (*next == 0 || time < *next))
        *next = time;
}

/* Moves everything on as far as it goes. */
static void services_step_all(void)
{
    if (services_stepping)
        return;
    services_stepping = true;
    if (supervision.changed)
        status_write(supervision.services, supervision.count);
    bool under = containerd_daemon_is_present();
    bool ready = !under || containerd_daemon_step(services_plan);
    log_check();
    for (int rounds = 0; rounds < 64; rounds++) {
        supervision.changed = false;
        for (size_t i = 0; i < supervision.count; i++)
            supervise_step(&supervision.services[i], ready);
        if (!supervision.changed)
            break;
        status_write(supervision.services, supervision.count);
    }
    int64_t next = under ? containerd_daemon_next_step() : 0;
    for (size_t i = 0; i < supervision.count; i++)
        services_earliest(&next, supervise_next(&supervision.services[i]));
    services_timer.at = next;
    services_stepping = false;
}

static void services_due(struct timer *unused)
{
    (void)unused;
}

/* Whether the stage has more to come by itself. */
static bool services_are_beginning(void)
{
    for (size_t i = 0; i < supervision.count; i++) {
        const struct service *service = &supervision.services[i];
        bool never = false;
        if (service->starts > 0 && service->state != STATE_STARTING)
            continue;
        if (service_has_ended(service) ||
            (service_is_down(service) && supervise_waits_for(service, &never) && never))
            continue;
        return true;
    }
    return false;
}

static void services_read_services(void)
{
    size_t begin = services_plan->begin[STAGE_SERVICES], end = services_plan->end[STAGE_SERVICES];
    struct failure failure;
    supervision.room = end - begin + MORE;
    supervision.services = calloc(supervision.room, sizeof *supervision.services);
    for (size_t i = begin; supervision.services && i < end;
         i = plan_container_end(services_plan, i, end)) {
        if (services_plan->lines[i].word != WORD_CONTAINER)
            continue;
        struct service *service = &supervision.services[supervision.count];
        if (service_read(service, services_plan, i, end, &failure) < 0) {
            say("service %s: %s", services_plan->lines[i].argument[0], failure.text);
            if (!bundle_is_named(&service->bundle))
                continue;
            supervise_break(service);
        }
        service->end.descriptor = -1;
        service->since = process_now();
        supervision.count++;
    }
}

static int services_open_reports(struct failure *failure)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return failed_errno(failure, "pipe");
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    supervision.helpers.reports = ends[1];
    services_reports = (struct watch){.descriptor = ends[0], .ready = services_take_reports};
    watch_add(&services_reports);
    timer_add(&services_timer);
    return 0;
}

static bool services_started, services_impossible;

bool services_have_started(void)
{
    return services_started;
}

static enum verdict services_judge_one(const struct service *service)
{
    switch (service->state) {
    case STATE_RUNNING:
        return service->health == UNHEALTHY         ? VERDICT_FAILED
               : service->health == HEALTH_STARTING ? VERDICT_PENDING
                                                    : VERDICT_WELL;
    case STATE_EXITED:
        return service_succeeded(service) ? VERDICT_WELL : VERDICT_FAILED;
    case STATE_BLOCKED:
    case STATE_BROKEN:
        return VERDICT_FAILED;
    default:
        return VERDICT_PENDING;
    }
}

enum verdict services_judge(char *reason, size_t size)
{
    enum verdict worst = VERDICT_WELL;
    if (services_impossible) {
        snprintf(reason, size, "no service could be started");
        return VERDICT_FAILED;
    }
    for (size_t i = 0; i < supervision.count; i++) {
        const struct service *service = &supervision.services[i];
        if (service_is_gone(service))
            continue;
        enum verdict verdict = services_judge_one(service);
        if (verdict == VERDICT_WELL || (worst != VERDICT_WELL && verdict != VERDICT_FAILED))
            continue;
        worst = verdict;
        const char *health = service_health(service);
        snprintf(reason, size, "service %s is %s", service->bundle.id,
                 service->state == STATE_RUNNING && *health != '-' ? health
                                                                   : service_state(service));
        if (verdict == VERDICT_FAILED)
            break;
    }
    return worst;
}

static void services_report_started(void)
{
    char what[64];
    size_t running = 0;
    for (size_t i = 0; i < supervision.count; i++)
        running += supervision.services[i].state == STATE_RUNNING ||
                   service_succeeded(&supervision.services[i]);
    snprintf(what, sizeof what, "services started (%zu of %zu)", running, supervision.count);
    say_time(what);
}

static void services_run_services(void)
{
    struct failure failure;
    if (!containerd_daemon_is_present() && access(oci_program(), X_OK) < 0) {
        say("services: neither containerd nor %s, none started", oci_program());
        services_impossible = true;
        return;
    }
    services_read_services();
    if (directory_make("/run/compos") < 0 || services_open_reports(&failure) < 0) {
        say("services: %s", strerror(errno));
        services_impossible = true;
        return;
    }
    supervision.helpers.socket = containerd_daemon_socket();
    log_start(supervision.services, supervision.count);
    status_write(supervision.services, supervision.count);
    control_start();
    process_after(services_step_all);
    oci_ready();
    while (process_power() == POWER_NONE && services_are_beginning())
        process_events(-1);
    services_report_started();
    oci_settle();
}

void services_stage(const struct plan *given)
{
    bool run = false;
    services_plan = given;
    size_t end = services_plan->end[STAGE_SERVICES];
    for (size_t i = services_plan->begin[STAGE_SERVICES]; i < end && process_power() == POWER_NONE;
         i = plan_container_end(services_plan, i, end))
        if (services_plan->lines[i].word != WORD_CONTAINER)
            stage_line(&services_plan->lines[i]);
        else if (!run) {
            run = true;
            services_run_services();
        }
    if (!run && containerd_daemon_is_present()) {
        timer_add(&services_timer);
        process_after(services_step_all);
    }
    services_started = true;
}

void services_stop(void)
{
    supervision.stopping = true;
    containerd_daemon_expect_end();
    while (supervision.count > 0) {
        bool more = false;
        services_step_all();
        for (size_t i = 0; i < supervision.count; i++)
            more = more || !service_has_ended(&supervision.services[i]);
        if (!more)
            break;
        process_events(-1);
    }
}

/* Restarts what says that it follows the restarts of `name`. */
static void services_restart_followers(const char *name)
{
    for (size_t i = 0; i < supervision.count; i++)
        for (size_t j = 0; j < supervision.services[i].bundle.count; j++) {
            const struct plan_line *line = &supervision.services[i].bundle.lines[j];
            if (line->word == WORD_AFTER && *line->argument[2] &&
                strcmp(line->argument[0], name) == 0)
                supervise_request(&supervision.services[i], REQUEST_FOLLOW);
        }
}

/* What the new plan says of the service `name`; NULL, with what is `wrong`, if that is no use. */
static struct replacement *services_read_new(const char *name, const char **wrong)
{
    struct replacement *next = service_read_replacement(REQUEST_REPLACEMENT);
    *wrong = next ? "the new plan is another service's" : "its new plan cannot be used";
    if (next && strcmp(next->service.bundle.id, name) == 0)
        return next;
    service_free_replacement(next);
    return NULL;
}

static const char *services_add(const char *name)
{
    const char *wrong;
    if (supervise_find(name))
        return "there is a service of this name";
    struct replacement *next = services_read_new(name, &wrong);
    if (!next)
        return wrong;
    struct service *service = supervise_add(next);
    if (!service) {
        service_free_replacement(next);
        return "there is no room for one more service";
    }
    if (service->first == next)
        log_add(service);
    return NULL;
}

/* A service becomes what another plan says of it: `compos dev` replaces it, its root included. */
static const char *services_replace(struct service *service)
{
    const char *wrong;
    struct replacement *next = services_read_new(service->bundle.id, &wrong);
    if (!next)
        return wrong;
    service_free_replacement(service->next);
    service->next = next;
    return NULL;
}

const char *services_request(const char *action, const char *name)
{
    static const char *const actions[] = {
        [REQUEST_START] = "start", [REQUEST_STOP] = "stop", [REQUEST_RESTART] = "restart"};
    if (strcmp(action, "add") == 0)
        return services_add(name);
    struct service *service = supervise_find(name);
    if (!service)
        return "no such service";
    if (strcmp(action, "drop") == 0) {
        supervise_drop(service);
        return NULL;
    }
    if (service->state == STATE_BROKEN)
        return "its lines in the plan cannot be used";
    if (strcmp(action, "replace") == 0) {
        const char *wrong = services_replace(service);
        if (wrong)
            return wrong;
        action = "restart";
    }
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        if (strcmp(action, actions[i]) != 0)
            continue;
        supervise_request(service, (enum request)i);
        if (i == REQUEST_RESTART)
            services_restart_followers(name);
        return NULL;
    }
    return "unknown request";
}
