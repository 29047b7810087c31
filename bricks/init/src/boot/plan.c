/* plan.c: the reader of the boot plan (see plan.h). */
#include "boot/plan.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum place { OUTSIDE = 1, INSIDE = 2 };

static const struct {
    const char *name;
    unsigned arguments;
    unsigned places;
} words[] = {
#define PLAN_WORD(word, name, arguments, places) [WORD_##word] = {name, arguments, places},
    PLAN_WORDS(PLAN_WORD)
#undef PLAN_WORD
};

static const char *const plan_stages[STAGE_COUNT] = {"boot", "onboot", "services", "shutdown"};

static const char plan_header[] = "compos-plan\t1\n";

/* Where the reader stands. */
struct reader {
    struct plan *plan;
    int stage;        /* the last stage begun, or -1 */
    bool stage_lost;  /* skip up to the next stage */
    bool inside;      /* a container's lines */
    bool inside_lost; /* skip what belongs to a bad container line */
    size_t container; /* the line of the last container */
};

static int plan_word_of(const char *name)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].name, name) == 0)
            return (int)i;
    return -1;
}

/* Replaces the escapes of a field in place; an unknown escape is -1. */
static int plan_unescape(char *field)
{
    char *to = field;
    for (const char *from = field; *from; from++) {
        char byte = *from;
        if (byte == '\\') {
            from++;
            if (*from != 't' && *from != 'n' && *from != '\\')
                return -1;
            byte = *from == 't' ? '\t' : *from == 'n' ? '\n' : '\\';
        }
        *to++ = byte;
    }
    *to = '\0';
    return 0;
}

/* Cuts a line at its tabs. The number of fields, or -1 for a bad escape or too many. */
static int plan_cut(char *line, char *fields[], int maximum)
{
    int count = 0;
    while (line) {
        char *tab = strchr(line, '\t');
        if (tab)
            *tab++ = '\0';
        if (count == maximum || plan_unescape(line) < 0)
            return -1;
        fields[count++] = line;
        line = tab;
    }
    return count;
}

static const char *plan_begin_stage(struct reader *reader, const char *name)
{
    struct plan *plan = reader->plan;
    reader->inside = reader->inside_lost = false;
    for (int stage = reader->stage + 1; stage < STAGE_COUNT; stage++)
        if (strcmp(plan_stages[stage], name) == 0) {
            plan->begin[stage] = plan->end[stage] = plan->count;
            reader->stage = stage;
            reader->stage_lost = false;
            return NULL;
        }
    return "unknown stage, or not in the order boot, onboot, services, shutdown";
}

/* Why a line with this word cannot stand here, or NULL. */
static const char *plan_misplaced(const struct reader *reader, enum plan_word word)
{
    if (reader->stage < 0)
        return "line before the first stage";
    if (word == WORD_CONTAINER && reader->stage == STAGE_BOOT)
        return "no containers in the stage boot";
    if (word == WORD_CONTAINERD && reader->stage == STAGE_SHUTDOWN)
        return "too late for containerd";
    if (!(words[word].places & (reader->inside ? (unsigned)INSIDE : (unsigned)OUTSIDE)))
        return "allowed only in a container";
    return NULL;
}

/* Whether the line's first field is `word`. */
static bool plan_begins(const char *line, const char *word)
{
    size_t length = strlen(word);
    return strncmp(line, word, length) == 0 && (line[length] == '\t' || line[length] == '\0');
}

/*
 * Drops the container whose lines are being read, for one of them that says nobody knows what:
 * without a mount, a profile or a limit it would be another container than the build meant. Its
 * name stays, for whoever asks for it.
 */
static void plan_drop_container(struct reader *reader)
{
    struct plan *plan = reader->plan;
    plan->count = plan->end[reader->stage] = reader->container + 1;
    plan->lines[reader->container].broken = true;
    reader->inside = false;
    reader->inside_lost = true;
}

/* Whether a bad line was meant for the container before it, as far as its first field tells. */
static bool plan_belongs_inside(const char *first)
{
    int word = plan_word_of(first);
    return word < 0 || (words[word].places & INSIDE);
}

static const char *plan_read_line(struct reader *reader, char *text, unsigned number)
{
    char *fields[PLAN_ARGUMENTS + 1];
    if (plan_begins(text, "stage"))
        reader->stage_lost = true; /* until the line has proved good */
    else if (reader->stage_lost)
        return NULL;
    if (plan_begins(text, "container")) {
        reader->inside = false;
        reader->inside_lost = true;
    }
    int count = plan_cut(text, fields, PLAN_ARGUMENTS + 1);
    if (count < 0)
        return "too many fields, or an unknown escape";
    int word = plan_word_of(fields[0]);
    if (word < 0)
        return "unknown word";
    if (words[word].arguments != (unsigned)count - 1)
        return "wrong number of fields";
    if (word == WORD_STAGE)
        return plan_begin_stage(reader, fields[1]);
    if (!(words[word].places & INSIDE))
        reader->inside = reader->inside_lost = false;
    if (reader->inside_lost)
        return NULL;
    const char *problem = plan_misplaced(reader, (enum plan_word)word);
    if (problem) {
        reader->inside_lost = word == WORD_CONTAINER;
        return problem;
    }
    struct plan_line *line = &reader->plan->lines[reader->plan->count++];
    *line = (struct plan_line){
        .number = number, .word = (enum plan_word)word, .inside = reader->inside};
    memcpy(line->argument, fields + 1, words[word].arguments * sizeof *fields);
    reader->plan->end[reader->stage] = reader->plan->count;
    if (word == WORD_CONTAINER) {
        reader->container = reader->plan->count - 1;
        reader->inside = true;
        reader->inside_lost = false;
    }
    return NULL;
}

int plan_read(struct plan *plan, char *text, size_t length, plan_problem *problem)
{
    *plan = (struct plan){0};
    if (length < sizeof plan_header - 1 || memcmp(text, plan_header, sizeof plan_header - 1) != 0)
        return -1;
    size_t lines = 0;
    for (size_t i = 0; i < length; i++)
        lines += text[i] == '\n';
    plan->lines = calloc(lines, sizeof *plan->lines);
    if (!plan->lines)
        return -1;
    struct reader reader = {.plan = plan, .stage = -1};
    unsigned number = 1;
    for (char *line = text + sizeof plan_header - 1, *end = text + length; line < end;) {
        char *newline = memchr(line, '\n', (size_t)(end - line));
        const char *wrong = "the last line is truncated";
        size_t size = (size_t)((newline ? newline : end) - line);
        number++;
        if (newline) {
            *newline = '\0';
            wrong = size > PLAN_LINE_MAXIMUM ? "line too long"
                    : strlen(line) != size   ? "zero byte"
                                             : plan_read_line(&reader, line, number);
        }
        if (wrong) {
            problem(number, wrong);
            /* The first field is whole: the line was cut at its tabs, if it was cut at all. */
            if (reader.inside &&
                plan_belongs_inside(newline && size <= PLAN_LINE_MAXIMUM ? line : "")) {
                char what[256];
                snprintf(what, sizeof what, "the container %.200s is skipped",
                         plan->lines[reader.container].argument[0]);
                plan_drop_container(&reader);
                problem(number, what);
            }
        }
        line += size + 1;
    }
    return 0;
}

long long plan_number(const char *field)
{
    char *end;
    if (*field < '0' || *field > '9')
        return -1;
    errno = 0;
    long long value = strtoll(field, &end, 10);
    return *end || errno ? -1 : value;
}

void plan_free(struct plan *plan)
{
    free(plan->lines);
    *plan = (struct plan){0};
}

size_t plan_container_end(const struct plan *plan, size_t index, size_t end)
{
    do
        index++;
    while (index < end && plan->lines[index].inside);
    return index;
}
