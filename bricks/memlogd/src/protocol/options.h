/*
 * options.h: command lines in the manner of Go: -name VALUE, -name=VALUE, with one or two dashes.
 */
#ifndef COMPOS_OPTIONS_H
#define COMPOS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

/* An option has one of the three. A number is from `least` to `most`. */
struct option {
    const char *name;
    bool *flag;
    const char **text;
    long *number;
    long least;
    long most;
};

/*
 * Reads the options in front; returns the index of the first argument behind them. A mistake ends
 * the program with a line and status 2.
 */
int options_read(int argument_count, char *arguments[], const struct option *options, size_t count);

#endif
