/* terminal.h: questions on the console. */
#ifndef COMPOS_DISK_TERMINAL_H
#define COMPOS_DISK_TERMINAL_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

/* Text for whoever is at the console; no log gets it. */
void terminal_show(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* One line, without its end; the console does not show it. */
int terminal_ask_secret(const char *question, char *answer, size_t size, struct failure *failure);

/* One line, without its end, which the console shows. */
int terminal_ask(const char *question, char *answer, size_t size, struct failure *failure);

#endif
