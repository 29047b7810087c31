/*
 * failure.h: how init's functions say whether they worked. There is one way:
 *
 * A function that can fail returns an int: 0, or -1, and is tested with `< 0`. In place of 0 it may
 * return what was asked for, which is never negative: a descriptor, a process id, a count. One that
 * makes an object returns NULL instead of -1.
 *
 * The reason stands in `struct failure *`, the last argument, of a function that has one; of the
 * others it is errno. Whoever calls reports it, or passes it on; nobody does both.
 *
 * A function that returns a bool answers a question, and cannot fail.
 */
#ifndef COMPOS_FAILURE_H
#define COMPOS_FAILURE_H

/* The reason why something did not work, as one line without a final dot. */
struct failure {
    char text[512];
};

/* Fills in a failure. Always -1. */
int failed(struct failure *failure, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As `failed`, with the text of errno behind it. */
int failed_errno(struct failure *failure, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
