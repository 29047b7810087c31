/*
 * service.h: one service: what the plan says of it, and where it stands. Touches nothing but
 * memory, and the plan of a service that takes another one's place.
 */
#ifndef COMPOS_SERVICE_H
#define COMPOS_SERVICE_H

#include "base/failure.h"
#include "base/process.h"
#include "containers/bundle.h"
#include "services/state.h"

#include <stdbool.h>
#include <stdint.h>

enum restart { RESTART_NO, RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_UNLESS_STOPPED };
enum condition { CONDITION_STARTED, CONDITION_HEALTHY, CONDITION_COMPLETED, CONDITION_RUNNING };
/* Nobody has seen how it ended. */
enum { STATUS_UNKNOWN = -1 };

enum health { HEALTH_NONE, HEALTH_STARTING, HEALTHY, UNHEALTHY };

/* Where a service's output goes beside or instead of its file. */
enum log_driver { LOG_FILE, LOG_CONSOLE, LOG_KMSG, LOG_SYSLOG, LOG_NONE };

struct log_settings {
    enum log_driver driver;
    size_t size;         /* of a file before it is rotated, bytes */
    unsigned files;      /* kept of each stream, the one being written among them */
    const char *address; /* of a syslog server: udp://HOST:PORT or tcp://HOST:PORT */
    const char *tag;     /* empty: the service's name */
};

struct health_settings {
    const struct plan_line *test; /* its first line, the others follow; NULL: no check */
    size_t arguments;
    int64_t interval, timeout, start_period, start_interval; /* milliseconds */
    unsigned retries;
};

struct replacement;

struct service {
    struct bundle bundle;
    enum restart restart;
    unsigned max_restarts; /* of on-failure; 0: no limit */
    int stop_signal;
    int64_t grace; /* milliseconds */
    struct log_settings log;
    struct health_settings check;

    enum state state;
    enum health health;
    enum goal goal;
    enum cause cause;
    bool prepared; /* its mounts are made */
    int status;    /* of the last run, as of waitpid, or STATUS_UNKNOWN */
    pid_t pid;
    unsigned starts, restarts; /* in all; by its policy */
    unsigned failures, probes; /* in a row; failed health checks in a row */
    int64_t since, deadline, probe_at, probe_end;
    struct child main, helper, probe;
    struct child shim;               /* containerd's, which the container does not outlive */
    struct watch end;                /* the pidfd of a process that is not our child */
    struct replacement *next, *used; /* what its next start takes; what it has been started from */
    struct replacement *first;       /* what it was added with, which has its name */
    bool dropped;                    /* the system has it no more */
};

/* A service as another plan has it, whose lines and text are its own. */
struct replacement {
    struct service service;
    struct plan plan;
    char *text;
};

/*
 * Reads a container of the stage `services` at `index`; `end` is the stage's. -1 with the reason.
 */
int service_read(struct service *service, const struct plan *plan, size_t index, size_t end,
                 struct failure *failure);

/*
 * Reads the first service of the plan in the file `path`; NULL if there is none that can be used.
 * It is freed by `service_free_replacement`, as NULL may be.
 */
struct replacement *service_read_replacement(const char *path);
void service_free_replacement(struct replacement *replacement);

/* Makes `service`, which does not run, what its replacement says, if it has one. */
void service_take_replacement(struct service *service);

/* Whether it has not been started, or has ended for good. */
bool service_is_down(const struct service *service);

/* Whether nothing but a request starts it again. */
bool service_has_ended(const struct service *service);

/* Whether the system has it no more, and nothing of it runs. */
bool service_is_gone(const struct service *service);

/* "waiting", "running" ... as in the status file. */
const char *service_state(const struct service *service);
const char *service_health(const struct service *service);

/* Whether the last run ended well. */
bool service_succeeded(const struct service *service);

/* The plan's name of a condition; CONDITION_STARTED for an unknown one. */
enum condition service_condition(const char *name);

/* Whether its restart policy starts it again after its last run. */
bool service_restarts(const struct service *service);

/*
 * Milliseconds to wait before the start after so many failures in a row: from 100, doubled each
 * time, a minute at most.
 */
int64_t service_pause(unsigned failures);

#endif
