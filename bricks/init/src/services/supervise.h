/*
 * supervise.h: what moves one service from state to state (service.h): the end of a process or of a
 * helper, a time that has come, what it depends on. Nothing in here waits.
 */
#ifndef COMPOS_SUPERVISE_H
#define COMPOS_SUPERVISE_H

#include "services/service.h"
#include "services/service_helper.h"

struct supervision {
    struct service *services;
    size_t count;
    struct helpers helpers;
    bool changed;  /* something is different from what the status files say */
    bool stopping; /* all are to end, in the reverse order */
};

extern struct supervision supervision;

struct service *supervise_find(const char *name);

/*
 * Somebody asks for something, or another service does; nothing for a service that cannot be
 * started.
 */
void supervise_request(struct service *service, enum request request);

/* Marks a service that cannot be started: it has failed, for all who ask. */
void supervise_break(struct service *service);

/* A helper has created the process of a service. */
void supervise_pid(struct service *service, pid_t pid);

/* The first thing that it waits for, or NULL; `never`: it cannot come any more by itself. */
const struct plan_line *supervise_waits_for(const struct service *service, bool *never);

/* Moves it on, at most one state. `ready`: containers can be created. */
void supervise_step(struct service *service, bool ready);

/* When it next needs a step without an event; 0: never. */
int64_t supervise_next(const struct service *service);

#endif
