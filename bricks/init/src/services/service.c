/* service.c: see service.h. */
#include "services/service.h"

#include "base/files.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static const char *const service_restart_names[] = {"no", "always", "on-failure", "unless-stopped"};
static const char *const service_condition_names[] = {"started", "healthy", "completed", "running"};
static const char *const service_driver_names[] = {"file", "console", "kmsg", "syslog", "none"};

/*
 * Milliseconds, and how often: the build refuses more (MAX_MILLISECONDS, MAX_COUNT,
 * src/compos/config/quantities.py).
 */
static const long long MAX_TIME = 1LL << 40, MAX_COUNT = 1000000000;

/* The position of `name` in a table, or -1. */
static int service_position(const char *name, const char *const table[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(table[i], name) == 0)
            return (int)i;
    return -1;
}

#define POSITION(name, table) service_position(name, table, sizeof(table) / sizeof *(table))

static int service_read_restart(struct service *service, const char *const argument[])
{
    int found = POSITION(argument[0], service_restart_names);
    long long most = plan_number(argument[1]);
    if (found < 0 || most < 0 || most > MAX_COUNT)
        return -1;
    service->restart = (enum restart)found;
    service->max_restarts = (unsigned)most;
    return 0;
}

static int service_read_stop(struct service *service, const char *const argument[])
{
    long long number = plan_number(argument[0]), grace = plan_number(argument[1]);
    if (number < 1 || number > 64 || grace < 0 || grace > MAX_TIME)
        return -1;
    service->stop_signal = (int)number;
    service->grace = grace;
    return 0;
}

static int service_read_log(struct service *service, const char *const argument[])
{
    int driver = POSITION(argument[0], service_driver_names);
    long long size = plan_number(argument[1]), files = plan_number(argument[2]);
    if (driver < 0 || size < 1 || files < 1 || files > 100)
        return -1;
    service->log = (struct log_settings){(enum log_driver)driver, (size_t)size, (unsigned)files,
                                         argument[3], argument[4]};
    return 0;
}

static int service_read_health(struct service *service, const char *const argument[])
{
    enum { RETRIES = 2 };
    long long values[5];
    for (size_t i = 0; i < 5; i++)
        if ((values[i] = plan_number(argument[i])) < 0 ||
            values[i] > (i == RETRIES ? MAX_COUNT : MAX_TIME))
            return -1;
    service->check.interval = values[0];
    service->check.timeout = values[1];
    service->check.retries = (unsigned)values[2];
    service->check.start_period = values[3];
    service->check.start_interval = values[4];
    return 0;
}

static int service_read_line(struct service *service, const struct plan_line *line)
{
    switch (line->word) {
    case WORD_RESTART:
        return service_read_restart(service, line->argument);
    case WORD_STOP:
        return service_read_stop(service, line->argument);
    case WORD_LOG:
        return service_read_log(service, line->argument);
    case WORD_HEALTH:
        return service_read_health(service, line->argument);
    case WORD_TEST:
        if (!service->check.test)
            service->check.test = line;
        service->check.arguments++;
        return 0;
    default:
        return 0;
    }
}

int service_read(struct service *service, const struct plan *plan, size_t index, size_t end,
                 struct failure *failure)
{
    enum { LOG_SIZE = 1 << 20, LOG_FILES = 3, GRACE = 10000 };
    *service = (struct service){.stop_signal = SIGTERM, .grace = GRACE};
    service->log = (struct log_settings){LOG_FILE, LOG_SIZE, LOG_FILES, "", ""};
    if (bundle_read(&service->bundle, plan, index, end, failure) < 0)
        return -1;
    for (size_t i = 0; i < service->bundle.count; i++)
        if (service_read_line(service, &service->bundle.lines[i]) < 0)
            return failed(failure, "plan line %u: invalid argument",
                          service->bundle.lines[i].number);
    return 0;
}

static void service_pass_over(unsigned number, const char *what)
{
    (void)number;
    (void)what;
}

struct replacement *service_read_replacement(const char *path)
{
    enum { MAX_REPLACEMENT = 1 << 20 };
    struct replacement *made = calloc(1, sizeof *made);
    struct failure failure;
    size_t length;
    if (made && (made->text = file_read(path, MAX_REPLACEMENT, &length)) != NULL &&
        plan_read(&made->plan, made->text, length, service_pass_over) == 0) {
        size_t begin = made->plan.begin[STAGE_SERVICES], end = made->plan.end[STAGE_SERVICES];
        if (begin < end && made->plan.lines[begin].word == WORD_CONTAINER &&
            service_read(&made->service, &made->plan, begin, end, &failure) == 0)
            return made;
    }
    service_free_replacement(made);
    return NULL;
}

void service_free_replacement(struct replacement *replacement)
{
    if (!replacement)
        return;
    plan_free(&replacement->plan);
    free(replacement->text);
    free(replacement);
}

void service_take_replacement(struct service *service)
{
    if (!service->next)
        return;
    const struct service *other = &service->next->service;
    /* The logger knows it by the first one's name. */
    const char *id = service->bundle.id;
    service->bundle = other->bundle;
    service->bundle.id = id;
    service->restart = other->restart;
    service->max_restarts = other->max_restarts;
    service->stop_signal = other->stop_signal;
    service->grace = other->grace;
    service->check = other->check;
    service->prepared = false;
    service_free_replacement(service->used);
    service->used = service->next;
    service->next = NULL;
}

const char *service_state(const struct service *service)
{
    static const char *const names[] = {
        [STATE_WAITING] = "waiting",     [STATE_BLOCKED] = "waiting",
        [STATE_STARTING] = "starting",   [STATE_RUNNING] = "running",
        [STATE_STOPPING] = "stopping",   [STATE_CLEANING] = "ending",
        [STATE_PAUSING] = "backing-off", [STATE_EXITED] = "exited",
        [STATE_BROKEN] = "failed",
    };
    if (service->state == STATE_EXITED && service->cause == CAUSE_REQUEST)
        return "stopped";
    if (service->state == STATE_EXITED && !service_succeeded(service))
        return "failed";
    return names[service->state];
}

const char *service_health(const struct service *service)
{
    static const char *const names[] = {"-", "starting", "healthy", "unhealthy"};
    return names[service->state == STATE_RUNNING ? service->health : HEALTH_NONE];
}

bool service_has_ended(const struct service *service)
{
    return service->state == STATE_EXITED || service->state == STATE_BROKEN;
}

bool service_is_gone(const struct service *service)
{
    return service->dropped && service_has_ended(service);
}

bool service_is_down(const struct service *service)
{
    return service_has_ended(service) || service->state == STATE_WAITING ||
           service->state == STATE_BLOCKED;
}

bool service_succeeded(const struct service *service)
{
    return service->starts > 0 && service->status == 0;
}

enum condition service_condition(const char *name)
{
    int found = POSITION(name, service_condition_names);
    return found < 0 ? CONDITION_STARTED : (enum condition)found;
}

bool service_restarts(const struct service *service)
{
    if (service->cause == CAUSE_REQUEST)
        return false;
    switch (service->restart) {
    case RESTART_ALWAYS:
    case RESTART_UNLESS_STOPPED:
        return true;
    case RESTART_ON_FAILURE:
        return !service_succeeded(service) &&
               (service->max_restarts == 0 || service->failures <= service->max_restarts);
    default:
        return false;
    }
}

int64_t service_pause(unsigned failures)
{
    enum { FIRST = 100, MAX_PAUSE = 60000 };
    int64_t pause = FIRST;
    for (; failures > 1 && pause < MAX_PAUSE; failures--)
        pause *= 2;
    return pause < MAX_PAUSE ? pause : MAX_PAUSE;
}
