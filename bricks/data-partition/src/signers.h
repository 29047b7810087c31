/*
 * signers.h: whose signatures of PCR 11 a system brings, and to which of these keys a volume is
 * sealed.
 */
#ifndef COMPOS_SIGNERS_H
#define COMPOS_SIGNERS_H

#include <stdbool.h>

/* Whether the signatures (.pcrsig, JSON) are of more than one key. */
bool signers_are_several(const char *signatures);

/* Whether the volume on `node` has a token of systemd's, bound to the key in the PEM file. */
bool signers_is_own(const char *node, const char *key);

#endif
