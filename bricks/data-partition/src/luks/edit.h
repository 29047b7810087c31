/* edit.h: the JSON of a LUKS2 header with fewer or more tokens and key slots. */
#ifndef COMPOS_EDIT_H
#define COMPOS_EDIT_H

#include "luks/header.h"

#include <stdbool.h>

struct edit {
    /* Tokens of these types go, and their slots; NULL behind the last. One token can stay. */
    const char *const *types;
    const char *stays;
    /* What comes in: a slot's number, its member of the JSON, those of tokens; NULL for none. */
    int slot;
    const char *slot_text;
    const char *tokens_text;
};

/* To be freed; NULL with a failure. */
char *edit_header(const struct header *header, const struct edit *edit, struct failure *failure);

/* Whether a token goes, or a key slot. */
bool edit_drops_token(const struct edit *edit, const struct json *token);
bool edit_drops_slot(const struct header *header, const struct edit *edit, const char *slot);

#endif
