/*
 * syslog.h: lines to syslog servers, as RFC 5424 messages over UDP (RFC 5426) or TCP (RFC 6587,
 * octet counting).
 */
#ifndef COMPOS_SYSLOG_H
#define COMPOS_SYSLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

/*
 * Sends one line to `address` (udp://HOST:PORT, tcp://HOST:PORT). While the server cannot be
 * reached, the last lines wait in memory; what does not fit is counted, and reported to the server
 * afterwards.
 */
void syslog_send(const char *address, const char *tag, bool error, const char *line);

/* Tries once more to send what waits. */
void syslog_finish(void);

/* Writes the message, without the frame of TCP. The length, at most size - 1. */
size_t syslog_message(char *text, size_t size, const char *host, const char *tag, bool error,
                      const struct timespec *now, const char *line);

#endif
