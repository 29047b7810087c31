/* sealed12.h: the key of a volume, sealed to a TPM 1.2, in a token of the volume's header. */
#ifndef COMPOS_SEALED12_H
#define COMPOS_SEALED12_H

#include "seal/tpm12.h"

/* A TPM without an owner gets one. `pin` is empty without one. */
int sealed12_store(const char *node, const char *pcrs, const char *pin, const unsigned char *key,
                   size_t size, struct failure *failure);

/* How many bytes the key has. */
int sealed12_key(const char *node, const char *pin, unsigned char key[TPM12_MOST_SECRET],
                 struct failure *failure);

#endif
