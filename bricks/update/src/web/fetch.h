/*
 * fetch.h: small documents from servers, by Debian's curl: what it speaks with strangers, it speaks
 * as nobody.
 */
#ifndef COMPOS_FETCH_H
#define COMPOS_FETCH_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

enum { FETCH_LIMIT = 1 << 20, FETCH_CHALLENGE = 2048 };

struct fetch_answer {
    int status;                      /* of HTTP */
    char challenge[FETCH_CHALLENGE]; /* WWW-Authenticate; empty without one */
    char *text;                      /* of up to FETCH_LIMIT bytes, a zero byte behind them */
    size_t length;
};

/* What is asked of a server. */
struct fetch_request {
    const char *url;
    const char *const *headers; /* "Name: value", NULL at the end */
    const char *method;         /* NULL: GET */
    const char *body;           /* of a method that is named; one line */
    bool direct;                /* redirects are not followed: their status is the answer */
};

/* Sends a request. 0 for every status that a server gives, and `text` is to be freed then. */
int fetch_send(const struct fetch_request *request, struct fetch_answer *answer,
               struct failure *failure);

/*
 * Asks for a URL, with headers ("Name: value", NULL at the end), following redirects. 0 for every
 * status that a server gives, and `text` is to be freed then.
 */
int fetch_document(const char *url, const char *const headers[], struct fetch_answer *answer,
                   struct failure *failure);

#endif
