/*
 * supervise_driver.c: PLAN COMMAND...: moves the services of a plan as PID 1 does, without
 * containers: a service's process is one that waits for a signal, and its helpers do nothing. After
 * each command the states are printed.
 *
 * begin: as at boot. start|stop|restart NAME: what somebody asks for, and `follow NAME`: what NAME
 * follows is restarted. stubborn NAME: its next process ignores SIGTERM. fail NAME: its helpers
 * fail, until `mend NAME`. replace NAME: it is restarted as PLAN.next has it, if that can be used;
 * add NAME: the system has one more, that of PLAN.next. drop NAME: it has one less.
 * end|kill NAME: its process ends by itself, or is killed. shutdown: all are to end.
 */
#include "base/files.h"
#include "base/process.h"
#include "containerd/containerd_daemon.h"
#include "services/supervise.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static const char *stubborn = "", *failing = "";
static char next_plan[4096];

int service_helper_start(const struct helpers *helpers, const struct service *service,
                         uint32_t position)
{
    (void)helpers;
    (void)position;
    return strcmp(service->bundle.id, failing) == 0;
}

int service_helper_clean(const struct helpers *helpers, const struct service *service,
                         uint32_t position)
{
    (void)helpers;
    (void)service;
    (void)position;
    return 0;
}

int service_helper_test(const struct helpers *helpers, const struct service *service)
{
    (void)helpers;
    (void)service;
    return 0;
}

void service_helper_kill_test(const struct service *service)
{
    (void)service;
}

void containerd_daemon_reset_oom_score(pid_t pid)
{
    (void)pid;
}

static void problem(unsigned number, const char *what)
{
    fprintf(stderr, "%u: %s\n", number, what);
    exit(2);
}

/* What the helper has created. */
static void create_process(struct service *service)
{
    bool deaf = strcmp(service->bundle.id, stubborn) == 0;
    int ready[2];
    char byte = 0;
    if (pipe(ready) < 0)
        exit(2);
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        signal(SIGTERM, deaf ? SIG_IGN : SIG_DFL);
        signal(SIGHUP, SIG_DFL); /* nohup(1) ignores it */
        (void)!write(ready[1], &byte, 1);
        for (;;)
            pause();
    }
    (void)!read(ready[0], &byte, 1);
    close(ready[0]);
    close(ready[1]);
    supervise_pid(service, pid);
}

/* Whether something happens to it by itself: its end after SIGTERM, or its start after a pause. */
static bool is_under_way(const struct service *service)
{
    if (service->state == STATE_STOPPING)
        return strcmp(service->bundle.id, stubborn) != 0;
    return service->state == STATE_PAUSING;
}

/* Steps until nothing changes. */
static void settle(void)
{
    for (int quiet = 0; quiet < 4; quiet++) {
        supervision.changed = false;
        for (size_t i = 0; i < supervision.count; i++) {
            struct service *service = &supervision.services[i];
            bool fails = strcmp(service->bundle.id, failing) == 0;
            if (service->state == STATE_STARTING && !service->main.watched && !fails)
                create_process(service);
            supervise_step(service, true);
        }
        for (size_t i = 0; i < supervision.count; i++) {
            const struct service *service = &supervision.services[i];
            while (service->helper.watched && !service->helper.ended)
                process_events(1000);
            if (supervision.changed || is_under_way(service))
                quiet = -1;
        }
        process_events(50);
    }
}

static void print_states(const char *command)
{
    printf("%s:", command);
    for (size_t i = 0; i < supervision.count; i++)
        if (!service_is_gone(&supervision.services[i]))
            printf(" %s", service_state(&supervision.services[i]));
    printf("\n");
    fflush(stdout);
}

static void read_services(const struct plan *plan)
{
    size_t end = plan->end[STAGE_SERVICES];
    struct failure failure;
    supervision.services = calloc(plan->count + 1, sizeof *supervision.services);
    for (size_t i = plan->begin[STAGE_SERVICES]; i < end; i = plan_container_end(plan, i, end)) {
        struct service *service = &supervision.services[supervision.count++];
        if (service_read(service, plan, i, end, &failure) < 0)
            supervise_break(service);
        service->end.descriptor = -1;
    }
    supervision.room = supervision.count + 1;
}

static void carry_out(const char *command, const char *name)
{
    static const char *const requests[REQUEST_COUNT] = {"start", "stop", "restart", "follow"};
    struct service *service = supervise_find(name);
    if (strcmp(command, "shutdown") == 0)
        supervision.stopping = true;
    if (strcmp(command, "add") == 0) {
        struct replacement *next = service_read_replacement(next_plan);
        if (!supervise_add(next)) {
            puts("no room");
            service_free_replacement(next);
        }
    }
    if (!service)
        return;
    for (size_t i = 0; i < REQUEST_COUNT; i++)
        if (strcmp(command, requests[i]) == 0)
            supervise_request(service, (enum request)i);
    if (strcmp(command, "replace") == 0) {
        struct replacement *next = service_read_replacement(next_plan);
        service_free_replacement(service->next);
        service->next = next;
        supervise_request(service, next ? REQUEST_RESTART : REQUEST_START);
    }
    if (strcmp(command, "drop") == 0)
        supervise_drop(service);
    if (strcmp(command, "stubborn") == 0)
        stubborn = name;
    if (strcmp(command, "fail") == 0)
        failing = name;
    if (strcmp(command, "mend") == 0)
        failing = "";
    bool by_itself = strcmp(command, "end") == 0;
    if (!by_itself && strcmp(command, "kill") != 0)
        return;
    kill(service->pid, by_itself ? SIGHUP : SIGKILL);
    while (!service->main.ended)
        process_events(1000);
}

int main(int count, char *arguments[])
{
    struct failure failure;
    struct plan plan;
    size_t length;
    char *text = count > 1 ? file_read(arguments[1], 1 << 20, &length) : NULL;
    if (!text || plan_read(&plan, text, length, problem) < 0 || process_start(&failure) < 0)
        return 2;
    snprintf(next_plan, sizeof next_plan, "%s.next", arguments[1]);
    read_services(&plan);
    for (int i = 2; i < count; i++) {
        const char *name = strchr(arguments[i], ' ');
        char command[32] = "";
        snprintf(command, sizeof command, "%.*s", (int)strcspn(arguments[i], " "), arguments[i]);
        carry_out(command, name ? name + 1 : "");
        settle();
        print_states(arguments[i]);
    }
    for (size_t i = 0; i < supervision.count; i++) {
        service_free_replacement(supervision.services[i].next);
        service_free_replacement(supervision.services[i].used);
        service_free_replacement(supervision.services[i].first);
    }
    free(supervision.services);
    plan_free(&plan);
    free(text);
    return 0;
}
