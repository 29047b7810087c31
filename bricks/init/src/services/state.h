/*
 * state.h: where a service stands, what may happen to it there, and what somebody may ask for: two
 * tables (state.c). Touches nothing but memory; supervise.c finds out what has happened, and does
 * what follows from it.
 */
#ifndef COMPOS_STATE_H
#define COMPOS_STATE_H

enum state {
    STATE_WAITING,  /* for what it depends on */
    STATE_BLOCKED,  /* the same, and that cannot come any more by itself */
    STATE_STARTING, /* a helper creates it */
    STATE_RUNNING,
    STATE_STOPPING, /* its stop signal is sent */
    STATE_CLEANING, /* it has ended, a helper clears up */
    STATE_PAUSING,  /* before it is started again */
    STATE_EXITED,
    STATE_BROKEN, /* the plan's lines of it cannot be used: it never starts */
    STATE_COUNT,
    STATE_REFUSED = STATE_COUNT, /* no state: there is no such transition */
};

enum event {
    EVENT_BLOCKED,   /* what it depends on has ended for good */
    EVENT_UNBLOCKED, /* that may come again */
    EVENT_START,     /* a helper has begun to create it */
    EVENT_CREATED,   /* the helper has created it, and its process runs */
    EVENT_STOP,      /* its stop signal has been sent */
    EVENT_ENDED,     /* its process has ended, or could not be created */
    EVENT_AGAIN,     /* it is to be started as soon as it can be */
    EVENT_PAUSE,     /* it is to be started after a pause */
    EVENT_REST,      /* it is not to run */
    EVENT_BREAK,     /* its lines cannot be read */
    EVENT_COUNT,
};

/* What is to become of a service. */
enum goal {
    GOAL_RUN,
    GOAL_STOP,
    GOAL_RESTART, /* to end, if it has not, and to run then; GOAL_RUN once it waits for its start */
    GOAL_COUNT,
    GOAL_REFUSED = GOAL_COUNT,
};

/* What somebody asks for; REQUEST_FOLLOW: what it follows is restarted. */
enum request { REQUEST_START, REQUEST_STOP, REQUEST_RESTART, REQUEST_FOLLOW, REQUEST_COUNT };

/* Why a service last ended. */
enum cause {
    CAUSE_OWN,     /* by itself */
    CAUSE_REQUEST, /* somebody has stopped it, or the system goes down */
    CAUSE_SHIM,    /* its shim has ended, which no container outlives */
};

/* The state after `event`, or STATE_REFUSED. */
enum state state_next(enum state state, enum event event);

/* The goal after `request`, or GOAL_REFUSED. */
enum goal state_request(enum goal goal, enum state state, enum request request);

#endif
