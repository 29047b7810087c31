/* grpc.h: unary gRPC calls, one at a time, over HTTP/2 on a unix socket (RFC 9113; gRPC over HTTP2). */
#ifndef COMPOS_GRPC_H
#define COMPOS_GRPC_H

#include <stddef.h>
#include <stdint.h>

struct grpc;

/* Connects; NULL with a message when nobody answers. */
struct grpc *grpc_connect(const char *socket, char *error, size_t size);
void grpc_close(struct grpc *grpc);

/*
 * Calls `path` ("/package.Service/Method") with a protobuf message and the header `key: value`. 0 with the answer in *reply
 * (valid until the next call), or -1 with a message: the server's own words where it gave any.
 */
int grpc_call(struct grpc *grpc, const char *path, const char *key, const char *value, const uint8_t *request,
              size_t request_length, const uint8_t **reply, size_t *reply_length, char *error, size_t size);

#endif
