/*
 * state_driver.c: prints both tables of state.h: STATE EVENT NEXT, then STATE GOAL REQUEST NEXT;
 * "-" where it is refused.
 */
#include "services/state.h"

#include <stdio.h>

static const char *const states[STATE_COUNT + 1] = {
    [STATE_WAITING] = "waiting", [STATE_BLOCKED] = "blocked",   [STATE_STARTING] = "starting",
    [STATE_RUNNING] = "running", [STATE_STOPPING] = "stopping", [STATE_CLEANING] = "cleaning",
    [STATE_PAUSING] = "pausing", [STATE_EXITED] = "exited",     [STATE_BROKEN] = "broken",
    [STATE_REFUSED] = "-",
};
static const char *const events[EVENT_COUNT] = {
    [EVENT_BLOCKED] = "blocked", [EVENT_UNBLOCKED] = "unblocked", [EVENT_START] = "start",
    [EVENT_CREATED] = "created", [EVENT_STOP] = "stop",           [EVENT_ENDED] = "ended",
    [EVENT_AGAIN] = "again",     [EVENT_PAUSE] = "pause",         [EVENT_REST] = "rest",
    [EVENT_BREAK] = "break",
};
static const char *const goals[GOAL_COUNT + 1] = {
    [GOAL_RUN] = "run", [GOAL_STOP] = "stop", [GOAL_RESTART] = "restart", [GOAL_REFUSED] = "-"};
static const char *const requests[REQUEST_COUNT] = {[REQUEST_START] = "start",
                                                    [REQUEST_STOP] = "stop",
                                                    [REQUEST_RESTART] = "restart",
                                                    [REQUEST_FOLLOW] = "follow"};

int main(void)
{
    for (int state = 0; state < STATE_COUNT; state++)
        for (int event = 0; event < EVENT_COUNT; event++)
            printf("%s %s %s\n", states[state], events[event],
                   states[state_next((enum state)state, (enum event)event)]);
    for (int state = 0; state < STATE_COUNT; state++)
        for (int goal = 0; goal < GOAL_COUNT; goal++)
            for (int request = 0; request < REQUEST_COUNT; request++)
                printf("%s %s %s %s\n", states[state], goals[goal], requests[request],
                       goals[state_request((enum goal)goal, (enum state)state,
                                           (enum request)request)]);
    return 0;
}
