/*
 * plan.h: the boot plan as a table of checked lines (docs/plan-format.md). Touches nothing but
 * memory.
 */
#ifndef COMPOS_PLAN_H
#define COMPOS_PLAN_H

#include "boot/plan_words.h"

#include <stdbool.h>
#include <stddef.h>

enum plan_word {
#define PLAN_WORD(word, name, arguments, places) WORD_##word,
    PLAN_WORDS(PLAN_WORD)
#undef PLAN_WORD
};

enum plan_stage { STAGE_BOOT, STAGE_ONBOOT, STAGE_SERVICES, STAGE_SHUTDOWN, STAGE_COUNT };

enum { PLAN_ARGUMENTS = 5, PLAN_LINE_MAXIMUM = 65536 };

struct plan_line {
    unsigned number; /* in the file, from 1 */
    enum plan_word word;
    bool inside; /* belongs to the container line before it */
    bool broken; /* a container, of which a line could not be read: its lines are not there */
    const char *argument[PLAN_ARGUMENTS];
};

struct plan {
    struct plan_line *lines;
    size_t count;
    /* lines[begin..end) are the stage's, without the stage line itself. */
    size_t begin[STAGE_COUNT];
    size_t end[STAGE_COUNT];
};

/* Called for every line that is skipped. */
typedef void plan_problem(unsigned number, const char *what);

/*
 * Reads a plan in place: the lines point into `text`, which must outlive the plan. Bad lines are
 * reported and left out; with a bad `stage` or `container` line goes what belongs to it. -1 when
 * the text is no plan at all, or for want of memory.
 */
int plan_read(struct plan *plan, char *text, size_t length, plan_problem *problem);

void plan_free(struct plan *plan);

/* A field that is a whole number, or -1. */
long long plan_number(const char *field);

/* One past the last line that belongs to the container at `index`. */
size_t plan_container_end(const struct plan *plan, size_t index, size_t end);

#endif
