/* command.h: what the host asks to be run, and the process that does. */
#ifndef COMPOS_COMMAND_H
#define COMPOS_COMMAND_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    COMMAND_TERMINAL = 1, /* flags: with a terminal; standard error is the same */
    COMMAND_READ = 2,     /* the argument is a file, whose bytes are the output */
    MAX_COMMAND = 1 << 16,
    MAX_ARGUMENTS = 256
};

/* A process and this side's ends of its standard streams; -1 for those that are closed. */
struct command {
    pid_t pid;
    int input;
    int output;
    int error;
    int process; /* to be polled for its end */
    bool terminal;
};

/*
 * Starts the request `text`: flags (one byte), rows, columns, count of arguments (two bytes each,
 * big-endian), then strings with a zero behind each: the service's name (empty: the system's own
 * root), the working directory (empty: the usual one), the arguments. -1 when it is none, or cannot
 * be carried out.
 */
int command_start(struct command *command, const char *text, size_t length,
                  struct failure *failure);

/* The terminal has another size. */
void command_resize(const struct command *command, unsigned rows, unsigned columns);

/* Sends a signal to the process and what it has started. */
void command_signal(const struct command *command, int number);

#endif
