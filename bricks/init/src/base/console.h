/*
 * console.h: what init says: short lines on the system console, never blocking on a stopped
 * terminal.
 */
#ifndef COMPOS_CONSOLE_H
#define COMPOS_CONSOLE_H

#include <stddef.h>

/*
 * Opens /dev/console, also as descriptors 0 to 2 where the kernel has left them closed. -1 when it
 * is not there.
 */
int console_open(void);

/* Bytes as they are. Gives up on a console that takes nothing for two seconds. */
void console_write(const char *bytes, size_t length);

/* One line: "compos: ..." */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* "compos: WHAT at T s": seconds since the kernel started, two decimals. */
void say_time(const char *what);

/*
 * Writes all of it to a terminal opened with O_NONBLOCK, waiting at most `milliseconds` at a time;
 * 0 or -1.
 */
int write_within(int descriptor, const char *bytes, size_t length, int milliseconds);

#endif
