/*
 * sealed20.h: passphrases of a LUKS2 volume that a TPM 2.0 gives back: tokens of the type
 * systemd-tpm2, as systemd-cryptenroll writes and systemd-cryptsetup reads them.
 */
#ifndef COMPOS_SEALED20_H
#define COMPOS_SEALED20_H

#include "json/json.h"
#include "seal/base64.h"
#include "seal/tpm20.h"

#define SEALED20_TYPE "systemd-tpm2"
#define SEALED20_DEVICE "/dev/tpmrm0"

enum { SEALED20_PASSPHRASE = BASE64_TEXT(TPM20_SECRET), SEALED20_SIGNED_PCR = 11 };

/*
 * A new passphrase, and the token for its key slot, to be freed. `pcrs`: those that count by value,
 * "7+12"; `public_key`: a file with the key that signs PCR 11, or NULL; `pin`: empty for none.
 */
char *sealed20_make(const char *device, const char *pcrs, const char *public_key, const char *pin,
                    int slot, char passphrase[SEALED20_PASSPHRASE], struct failure *failure);

/* Another slot, 0 to 9, in a new token's text. */
void sealed20_set_slot(char *token, int slot);

/* `signatures`: the file with those of PCR 11. */
int sealed20_open(const char *device, const struct json *token, const char *signatures,
                  const char *pin, char passphrase[SEALED20_PASSPHRASE], struct failure *failure);

/* Whether the token is bound to the key in the PEM file. */
bool sealed20_is_of(const struct json *token, const char *public_key);

#endif
