/* state.c: see state.h. */
#include "services/state.h"

#include <stdbool.h>
#include <stddef.h>

/* clang-format off */

/* All transitions that there are. */
static const struct {
    enum state from;
    enum event event;
    enum state to;
} state_transitions[] = {
    {STATE_WAITING,  EVENT_BREAK,     STATE_BROKEN},
    {STATE_WAITING,  EVENT_BLOCKED,   STATE_BLOCKED},
    {STATE_WAITING,  EVENT_START,     STATE_STARTING},
    {STATE_WAITING,  EVENT_PAUSE,     STATE_PAUSING},
    {STATE_WAITING,  EVENT_REST,      STATE_EXITED},
    {STATE_BLOCKED,  EVENT_UNBLOCKED, STATE_WAITING},
    {STATE_BLOCKED,  EVENT_START,     STATE_STARTING},
    {STATE_BLOCKED,  EVENT_PAUSE,     STATE_PAUSING},
    {STATE_BLOCKED,  EVENT_REST,      STATE_EXITED},
    {STATE_STARTING, EVENT_CREATED,   STATE_RUNNING},
    {STATE_STARTING, EVENT_ENDED,     STATE_CLEANING},
    {STATE_RUNNING,  EVENT_STOP,      STATE_STOPPING},
    {STATE_RUNNING,  EVENT_ENDED,     STATE_CLEANING},
    {STATE_STOPPING, EVENT_ENDED,     STATE_CLEANING},
    {STATE_CLEANING, EVENT_AGAIN,     STATE_WAITING},
    {STATE_CLEANING, EVENT_PAUSE,     STATE_PAUSING},
    {STATE_CLEANING, EVENT_REST,      STATE_EXITED},
    {STATE_PAUSING,  EVENT_AGAIN,     STATE_WAITING},
    {STATE_EXITED,   EVENT_AGAIN,     STATE_WAITING},
};

/*
 * What each request makes of the goal. A service that is about to be started needs no restart, and
 * one that goes down is started when it is down. What a service follows restarts it while it runs;
 * a service that is down, or on its way there, comes up beside a new one anyhow, or not at all.
 */
enum {
    RUN = GOAL_RUN,
    STOP = GOAL_STOP,
    AGAIN = GOAL_RESTART,
    NO = GOAL_REFUSED,
    KEEP = GOAL_COUNT + 1,
};
static const unsigned char state_goals[REQUEST_COUNT][STATE_COUNT] = {
    /*                   WAITING BLOCKED STARTING RUNNING STOPPING CLEANING PAUSING EXITED BROKEN */
    [REQUEST_START]   = {RUN,    RUN,    RUN,     RUN,    AGAIN,   AGAIN,   AGAIN,  AGAIN, NO},
    [REQUEST_STOP]    = {STOP,   STOP,   STOP,    STOP,   STOP,    STOP,    STOP,   STOP,  NO},
    [REQUEST_RESTART] = {RUN,    RUN,    AGAIN,   AGAIN,  AGAIN,   AGAIN,   AGAIN,  AGAIN, NO},
    [REQUEST_FOLLOW]  = {KEEP,   KEEP,   KEEP,    AGAIN,  KEEP,    KEEP,    KEEP,   KEEP,  NO},
};

/* clang-format on */

enum state state_next(enum state state, enum event event)
{
    for (size_t i = 0; i < sizeof state_transitions / sizeof *state_transitions; i++)
        if (state_transitions[i].from == state && state_transitions[i].event == event)
            return state_transitions[i].to;
    return STATE_REFUSED;
}

enum goal state_request(enum goal goal, enum state state, enum request request)
{
    unsigned char next = state_goals[request][state];
    /* Somebody has asked for its end since it last ran. */
    bool unwanted = request == REQUEST_FOLLOW && goal == GOAL_STOP && next != NO;
    return next == KEEP || unwanted ? goal : (enum goal)next;
}
