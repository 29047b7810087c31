/*
 * protocol.h: how programs speak with memlogd, as LinuxKit's do.
 *
 * Sources: a datagram whose payload is the source's name, and which carries the descriptor to read.
 * Queries: a stream on which the client sends one byte, and memlogd one JSON object a line:
 * {"time":"RFC 3339","source":"...","msg":"..."}.
 */
#ifndef COMPOS_PROTOCOL_H
#define COMPOS_PROTOCOL_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

#define LOG_SOCKET "/var/run/linuxkit-external-logging.sock"
#define QUERY_SOCKET "/var/run/memlogdq.sock"

enum query { QUERY_DUMP, QUERY_FOLLOW, QUERY_DUMP_AND_FOLLOW, QUERIES };

/* What a client may take for one line: a message of memlogd's longest, each byte escaped. */
enum { MAX_RESPONSE_LINE = 512 * 1024 };

/* Strings of a line, each with a zero byte behind it; valid until the next line. */
struct log_line {
    const char *time;
    const char *source;
    const char *message;
    size_t message_length;
};

/* A stream's or datagram socket, connected to the socket at `path`: a descriptor, or -1. */
int protocol_connect(const char *path, int type, struct failure *failure);

/* Sends the descriptor in the name of `source`. */
int protocol_send_descriptor(int log_socket, const char *source, int descriptor,
                             struct failure *failure);

/*
 * Sends the query, and calls `use` for each line until memlogd closes the connection (0), or until
 * something fails: `use` returned -1, or what was received is no response.
 */
int protocol_query(const char *path, enum query query,
                   int (*use)(const struct log_line *line, void *context, struct failure *failure),
                   void *context, struct failure *failure);

#endif
