/*
 * plan_driver.c: reads each plan named on the command line and prints its table, one line a plan
 * line.
 */
#include "base/files.h"
#include "boot/plan.h"

#include <stdio.h>
#include <stdlib.h>

static void print_problem(unsigned number, const char *what)
{
    printf("problem %u: %s\n", number, what);
}

static void print_lines(const struct plan *plan)
{
    for (int stage = 0; stage < STAGE_COUNT; stage++)
        for (size_t i = plan->begin[stage]; i < plan->end[stage]; i++) {
            const struct plan_line *line = &plan->lines[i];
            printf("%d %u %s", stage, line->number, line->inside ? "inside" : "outside");
            for (int argument = 0; argument < PLAN_ARGUMENTS && line->argument[argument];
                 argument++)
                printf(" <%s>", line->argument[argument]);
            if (line->word == WORD_CONTAINER)
                printf(" +%zu%s", plan_container_end(plan, i, plan->end[stage]) - i - 1,
                       line->broken ? " broken" : "");
            putchar('\n');
        }
}

int main(int count, char *paths[])
{
    for (int i = 1; i < count; i++) {
        struct plan plan;
        size_t length;
        char *text = file_read(paths[i], (size_t)1 << 24, &length);
        if (!text)
            return 1;
        if (plan_read(&plan, text, length, print_problem) < 0)
            puts("no plan");
        print_lines(&plan);
        plan_free(&plan);
        free(text);
    }
    return 0;
}
