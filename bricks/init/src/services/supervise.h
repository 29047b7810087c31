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
    size_t count, room; /* of those that there are, and that there can be */
    struct helpers helpers;
    bool changed;  /* something is different from what the status files say */
    bool stopping; /* all are to end, in the reverse order */
};

extern struct supervision supervision;

/* The service of a name, unless it has been dropped. */
struct service *supervise_find(const char *name);

/*
 * One more service, as `next` has it, which is its own from now on: it is started when it can be.
 * NULL: there is no room for it.
 */
struct service *supervise_add(struct replacement *next);

/* The system has a service no more: it is stopped, and not found again. */
void supervise_drop(struct service *service);

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
