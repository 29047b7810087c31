/*
 * header.h: the LUKS2 header of a volume as cryptsetup shows it: which slots and tokens there are.
 */
#ifndef COMPOS_HEADER_H
#define COMPOS_HEADER_H

#include "json/json.h"

struct header {
    char *text;
    struct json *root;
};

int header_read(const char *node, struct header *header, struct failure *failure);
void header_free(struct header *header);

/* The first token of that type behind `before`, or of all with NULL; NULL if there is none. */
const struct json *header_token(const struct header *header, const struct json *before,
                                const char *type);

/* The lowest number that no key slot, or no token, has. */
int header_unused(const struct header *header, const char *section);

#endif
