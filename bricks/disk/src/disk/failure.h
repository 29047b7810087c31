/*
 * failure.h: how the disk programs' functions say whether they worked, as init's do: an int is 0
 * (or what was asked for) or -1, and the reason stands in the last argument. Whoever calls reports
 * it or passes it on.
 */
#ifndef COMPOS_DISK_FAILURE_H
#define COMPOS_DISK_FAILURE_H

/* The reason why something did not work, as one line without a final dot. */
struct failure {
    char text[1024];
};

/* Fills in a failure. Always -1. */
int failed(struct failure *failure, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* As `failed`, with the text of errno behind it. */
int failed_errno(struct failure *failure, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
