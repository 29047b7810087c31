/*
 * http.h: a client of HTTP/1.1 (RFC 9112) for metadata services: plain HTTP, a connection for each
 * request, and limits on everything that a server decides.
 */
#ifndef COMPOS_HTTP_H
#define COMPOS_HTTP_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

struct http_request {
    const char *method;  /* NULL: GET */
    const char *address; /* an IPv4 address, or a name to resolve */
    const char *host;    /* for the server, where it differs from `address`; or NULL */
    const char *path;
    const char *headers; /* further ones, each with CR LF; or NULL */
    const char *body;    /* or NULL */
    size_t limit;        /* of the response's body, in bytes */
    int timeout;         /* of everything, in milliseconds */
    bool privileged;     /* whether the client's port must be below 1024 */
};

struct http_response {
    bool reached; /* whether there was a connection */
    int status;
    char *body; /* a zero byte behind it; to be freed with http_forget */
    size_t length;
    char server[64];          /* the header Server, cut; or empty */
    char metadata_flavor[64]; /* as that */
};

/*
 * Sends the request and reads its response, of whatever status. At most three redirects are
 * followed, to the same server only. -1 with the reason: no connection, no valid HTTP, more than
 * the limits allow, or not in time.
 */
int http_send(const struct http_request *request, struct http_response *response,
              struct failure *failure);

void http_forget(struct http_response *response);

#endif
