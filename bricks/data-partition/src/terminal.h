/* terminal.h: questions on the console, whose answers it does not show. */
#ifndef COMPOS_TERMINAL_H
#define COMPOS_TERMINAL_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

/* Text for whoever is at the console; no log gets it. */
void terminal_show(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line, without its end. */
int terminal_ask(const char *question, char *answer, size_t size, struct failure *failure);

#endif
