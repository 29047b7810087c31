/* slots.c: see slots.h. */
#include "slots.h"

#include "engine.h"
#include "memory.h"

#include <stdio.h>
#include <string.h>

static const char *slots_program = "/usr/bin/slot";

void slots_use(const struct terms *own)
{
    if (own->kexec)
        slots_program = MEMORY_PROGRAM;
}

int slots_ask(const char *verb, const char *slot, char *line, int size)
{
    const char *const arguments[] = {slots_program, verb, slot, NULL};
    return engine_line(arguments, line, size);
}

int slots_tell(const char *verb, const char *slot, const char *value)
{
    const char *const arguments[] = {slots_program, verb, slot, value, NULL};
    return engine_run(arguments);
}

int slots_current(char name[SLOTS_NAME])
{
    if (slots_ask("get-current", NULL, name, SLOTS_NAME) == 0 &&
        (strcmp(name, "A") == 0 || strcmp(name, "B") == 0))
        return 0;
    fprintf(stderr, "update: this system has no slots\n");
    return -1;
}

int slots_other(char name[SLOTS_NAME])
{
    if (slots_current(name) < 0)
        return -1;
    name[0] = name[0] == 'A' ? 'B' : 'A';
    return 0;
}

bool slots_on_trial(void)
{
    char name[SLOTS_NAME], state[SLOTS_NAME];
    return slots_current(name) == 0 && slots_ask("get-state", name, state, SLOTS_NAME) == 0 &&
           strcmp(state, "bad") == 0;
}
