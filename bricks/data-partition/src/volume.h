/*
 * volume.h: LUKS2 by cryptsetup, whose key is sealed to the TPM: to a TPM 2.0 by sealed20.h, with
 * tokens of systemd's types, to a TPM 1.2, which systemd does not know, by sealed12.h.
 */
#ifndef COMPOS_VOLUME_H
#define COMPOS_VOLUME_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

#define VOLUME_NAME "data"
#define VOLUME_NODE "/dev/mapper/" VOLUME_NAME

enum { VOLUME_SECRET = 256 };

/* What the key is bound to. */
struct volume_policy {
    const char *pcrs; /* by value: "7+11" */
    bool is_signed;   /* PCR 11 by the signature of the system's key as well */
    bool is_tpm12;
    bool pin;
    bool recovery;
    const char *escrow; /* file with the public key that the recovery key is kept for, or NULL */
};

/* Whether the system brings a signed policy of its PCR 11. */
bool volume_has_signature(void);

/*
 * A new volume, which is not open yet. `recovery` gets its recovery key, empty without one; `pin`
 * is empty without one.
 */
int volume_make(const char *node, const struct volume_policy *policy, const char *pin,
                char recovery[VOLUME_SECRET], struct failure *failure);

/* Opens it as VOLUME_NODE: by the TPM, or with a recovery key. */
int volume_open(const char *node, const struct volume_policy *policy, const char *pin,
                struct failure *failure);
int volume_open_with(const char *node, const char *recovery, struct failure *failure);

/*
 * Where the system is signed by a previous key as well: a key that is sealed to that one is sealed
 * to the system's own, so that no version without it opens the volume any more. 1 if it was, 0 if
 * nothing is to be done. `pin` is empty without one.
 */
int volume_move(const char *node, const struct volume_policy *policy, const char *pin,
                struct failure *failure);

/* Seals the key anew, to the machine as it is now; `recovery` opens the volume. */
int volume_seal(const char *node, const struct volume_policy *policy, const char *pin,
                const char *recovery, struct failure *failure);

/* Reports in words what differs from the machine that the key was sealed to. */
void volume_explain(const char *node, bool is_tpm12);

#endif
