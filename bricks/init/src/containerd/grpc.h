/*
 * grpc.h: unary gRPC calls, one at a time, over HTTP/2 on a unix socket (RFC 9113; gRPC over
 * HTTP2).
 */
#ifndef COMPOS_GRPC_H
#define COMPOS_GRPC_H

#include "base/failure.h"

#include <stddef.h>
#include <stdint.h>

struct grpc;

/*
 * What the last call came to, as the server sees it: gRPC's status codes. GRPC_NONE: it did not
 * say.
 */
enum { GRPC_NONE = -1, GRPC_OK = 0, GRPC_UNKNOWN = 2, GRPC_NOT_FOUND = 5 };

/* Connects; NULL when nobody answers. */
struct grpc *grpc_connect(const char *socket, struct failure *failure);
void grpc_close(struct grpc *grpc);

/*
 * Calls `path` ("/package.Service/Method") with a protobuf message and the header `key: value`. 0
 * with the answer in *reply (valid until the next call), or -1: with the server's own words where
 * it sent any.
 */
int grpc_call(struct grpc *grpc, const char *path, const char *key, const char *value,
              const uint8_t *request, size_t request_length, const uint8_t **reply,
              size_t *reply_length, struct failure *failure);

int grpc_status(const struct grpc *grpc);

#endif
