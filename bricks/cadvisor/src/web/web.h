/* web.h: a small server for HTTP/1.1, GET only. A process of its own serves each request. */
#ifndef COMPOS_WEB_H
#define COMPOS_WEB_H

#include "web/text.h"

/*
 * `name` is the program's, for its errors; `ip` a numeric address, empty for all; `patience` how
 * long a request may take, in seconds.
 */
struct web_place {
    const char *name;
    const char *ip;
    long port;
    unsigned int patience;
};

/*
 * Answers a request by `web_answer` or `web_say`. `path` has no slash in front; `query` is what
 * follows the question mark, as it is, or empty.
 */
typedef void web_handler(void *context, int client, const char *path, const char *query);

/* Answers requests for ever; ends the program with a line if it cannot listen there. */
_Noreturn void web_serve(const struct web_place *place, web_handler *handler, void *context);

void web_answer(int client, const char *status, const char *type, const struct text *body);

/* An answer of one line. */
void web_say(int client, const char *status, const char *line);

#endif
