/* slots.h: what this machine's slots are asked, by the program for them. */
#ifndef COMPOS_SLOTS_H
#define COMPOS_SLOTS_H

#include "terms.h"

#include <stdbool.h>

/* "A" or "B", and what the program says of one in a line. */
enum { SLOTS_NAME = 64, SLOTS_LINE = 4096 };

/* Where slots are asked of: init, or, in a system without slots, memory.h. */
void slots_use(const struct terms *own);

/* A line that the program says: `slot` is NULL for what is not about one of them. -1 for none. */
int slots_ask(const char *verb, const char *slot, char *line, int size);

/* Has the program do something: its exit status, or -1. `slot` and `value` may be NULL. */
int slots_tell(const char *verb, const char *slot, const char *value);

/* The slot that runs, and the one that does not; -1 with a message if there are none. */
int slots_current(char name[SLOTS_NAME]);
int slots_other(char name[SLOTS_NAME]);

/* Whether the slot that runs is not good yet: the machine may have to go back to the other one. */
bool slots_on_trial(void);

#endif
