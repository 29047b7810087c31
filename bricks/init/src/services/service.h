/* service.h: one service: what the plan says of it, and where it stands. Touches nothing but memory. */
#ifndef COMPOS_SERVICE_H
#define COMPOS_SERVICE_H

#include "base/failure.h"
#include "base/process.h"
#include "containers/bundle.h"

#include <stdbool.h>
#include <stdint.h>

enum restart { RESTART_NO, RESTART_ALWAYS, RESTART_ON_FAILURE, RESTART_UNLESS_STOPPED };
enum condition { CONDITION_STARTED, CONDITION_HEALTHY, CONDITION_COMPLETED, CONDITION_RUNNING };
enum health { HEALTH_NONE, HEALTH_STARTING, HEALTHY, UNHEALTHY };

enum state {
    WAITING,  /* for what it depends on */
    STARTING, /* a helper creates it */
    RUNNING,
    STOPPING, /* its stop signal is sent */
    CLEANING, /* it has ended, a helper clears up */
    PAUSING,  /* before it is started again */
    EXITED,
};

/* Where a service's output goes beside or instead of its file. */
enum log_driver { LOG_FILE, LOG_CONSOLE, LOG_KMSG, LOG_SYSLOG, LOG_NONE };

struct log_settings {
    enum log_driver driver;
    size_t size;        /* of a file before it is rotated, bytes */
    unsigned files;     /* kept of each stream, the one being written among them */
    const char *address; /* of a syslog server: udp://HOST:PORT or tcp://HOST:PORT */
    const char *tag;     /* empty: the service's name */
};

struct health_settings {
    const struct plan_line *test; /* its first line, the others follow; NULL: no check */
    size_t arguments;
    int64_t interval, timeout, start_period, start_interval; /* milliseconds */
    unsigned retries;
};

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
    bool wanted;  /* shall run: not stopped by somebody */
    bool stopped; /* its last end was asked for */
    bool again;   /* is to be started when it has ended */
    bool laid;    /* its mounts are made */
    bool told;    /* that it waits for ever */
    bool begun;   /* has run since it was last wanted */
    bool unknown; /* its exit status is */
    bool broken;  /* the plan's lines of it cannot be used: it never starts */
    int status;   /* of the last run, as of waitpid */
    pid_t pid;
    unsigned restarts, failures, probes; /* in all; in a row; failed health checks in a row */
    int64_t since, deadline, probe_at, probe_end;
    struct child main, helper, probe;
    struct child shim; /* containerd's, which the container does not outlive */
    struct watch end; /* the pidfd of a process that is not our child */
    bool main_watched, helper_watched, probe_watched, shim_watched;
    bool accident; /* its last end was its shim's */
};

/* Reads a container of the stage `services` at `index`; `end` is the stage's. -1 with the reason. */
int service_read(struct service *service, const struct plan *plan, size_t index, size_t end, struct failure *failure);

/* "waiting", "running" ... as in the status file. */
const char *service_state(const struct service *service);
const char *service_health(const struct service *service);

/* Whether the last run ended well. */
bool service_succeeded(const struct service *service);

/* The plan's name of a condition; CONDITION_STARTED for an unknown one. */
enum condition service_condition(const char *name);

/* Whether its restart policy starts it again after its last run. */
bool service_restarts(const struct service *service);

/* Milliseconds to wait before the start after so many failures in a row: from 100, doubled each time, a minute at most. */
int64_t service_pause(unsigned failures);

#endif
