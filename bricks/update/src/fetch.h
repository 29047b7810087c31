/*
 * fetch.h: small documents from servers, by Debian's curl: what it speaks with strangers, it speaks
 * as nobody.
 */
#ifndef COMPOS_FETCH_H
#define COMPOS_FETCH_H

#include "base/failure.h"

#include <stddef.h>

enum { FETCH_LIMIT = 1 << 20, FETCH_CHALLENGE = 2048 };

struct fetch_answer {
    int status;                      /* of HTTP */
    char challenge[FETCH_CHALLENGE]; /* WWW-Authenticate; empty without one */
    char *text;                      /* of up to FETCH_LIMIT bytes, a zero byte behind them */
    size_t length;
};

/*
 * Asks for a URL, with headers ("Name: value", NULL at the end), following redirects. 0 for every
 * status that a server gives, and `text` is to be freed then.
 */
int fetch_document(const char *url, const char *const headers[], struct fetch_answer *answer,
                   struct failure *failure);

#endif
