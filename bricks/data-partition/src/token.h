/*
 * token.h: tokens of our own in a LUKS2 header: JSON whose members are strings without escapes.
 * What is read comes from the disk, and nothing trusts it.
 */
#ifndef COMPOS_TOKEN_H
#define COMPOS_TOKEN_H

#include "base/failure.h"

/* cryptsetup has no room for more than 32 tokens, and systemd's begin at 0. */
#define TOKEN_PCRS "31"
#define TOKEN_TPM12 "30"

/* Puts `text` into the header, in place of the token that is there. */
int token_write(const char *node, const char *id, const char *text, struct failure *failure);

/* Its text, to be freed; NULL if there is none. */
char *token_read(const char *node, const char *id);

#endif
