/* schedule_driver.c: reads lines with a question, and says what schedule.c answers. */
#include "schedule.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* "VERSION SHARE|MACHINE": whether it takes the version; "wrong" for no rollout. */
static void ask_rollout(char *text)
{
    struct schedule_rollout rollout;
    char *machine = strchr(text, '|');
    *machine++ = '\0';
    if (schedule_rollout(&rollout, text) < 0)
        printf("wrong\n");
    else
        printf("%s\n", schedule_takes(&rollout, machine) ? "takes" : "waits");
}

int main(void)
{
    char line[4096];
    struct schedule_window window;
    uint64_t now, wait;
    uint32_t chance;
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "rollout ", 8) == 0) {
            ask_rollout(line + 8);
            continue;
        }
        if (sscanf(line, "%" SCNu32 " %" SCNu32 " %" SCNu64 " %" SCNu64 " %" SCNu32, &window.start,
                   &window.length, &now, &wait, &chance) == 5)
            printf("%d %" PRIu64 " %" PRIu64 "\n", schedule_open(window, now),
                   schedule_until(window, now), schedule_wait(window, now, wait, chance));
    }
    return 0;
}
