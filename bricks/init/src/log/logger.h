/*
 * logger.h: the process that empties the services' FIFOs (log.h): rotation, console, kernel's log,
 * syslog.
 */
#ifndef COMPOS_LOGGER_H
#define COMPOS_LOGGER_H

#include "services/service.h"

enum { LOG_LINE = 2048 };

struct stream {
    const char *id;
    const char *suffix; /* ".out" or none */
    const struct log_settings *settings;
    int input;
    int file;
    size_t written;      /* to the file that is being written */
    bool full;           /* the disk is: reported once */
    char line[LOG_LINE]; /* what has come of a line, where lines are needed */
    size_t length;
};

/* Until SIGTERM; then what is still there is written, and it ends. */
_Noreturn void logger_run(struct stream *streams, size_t count);

#endif
