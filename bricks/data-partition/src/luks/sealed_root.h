/*
 * sealed_root.h: a LUKS2 volume for a slot's root, whose key is sealed to the TPM: to PCRs 7 and 12
 * by value, to 11 by the signature of the system's key. Without cryptsetup, which can open it, too.
 */
#ifndef COMPOS_SEALED_ROOT_H
#define COMPOS_SEALED_ROOT_H

#include "luks/slot.h"
#include "seal/platform.h"
#include "seal/recovery.h"
#include "seal/sealed20.h"

#include <stdbool.h>

#define SEALED_ROOT_PCRS "7+12"
#define SEALED_ROOT_SIGNATURES "/run/systemd/tpm2-pcr-signature.json"
#define SEALED_ROOT_PUBLIC_KEY "/run/systemd/tpm2-pcr-public-key.pem"

/* Where the TPM is, and what the system's key has signed. */
struct sealed_root_system {
    const char *tpm;
    const char *signatures;
    const char *public_key;
};

/* What opens new volumes. To be wiped and freed. */
struct sealed_root_seal {
    char passphrase[SEALED20_PASSPHRASE];
    char *token; /* of key slot 0 */
    char platform[PLATFORM_TOKEN];
    char recovery[RECOVERY_TEXT]; /* empty for none */
};

struct sealed_root {
    int device;
    uint64_t start; /* of the volume on the device */
    struct header header;
    unsigned char key[XTS_KEY];
};

/* Seals a new passphrase to the machine as it is now; with `recovery`, there is a recovery key. */
int sealed_root_seal(const struct sealed_root_system *system, bool recovery,
                     struct sealed_root_seal *seal, struct failure *failure);
void sealed_root_wipe(struct sealed_root_seal *seal);

/* A new volume, with a key of its own, which is then in `root`. Its data begin at SLOT_DATA. */
int sealed_root_make(struct sealed_root *root, const struct sealed_root_seal *seal,
                     struct failure *failure);

/* With a passphrase, whichever slot it is of. */
int sealed_root_open(struct sealed_root *root, const char *passphrase, struct failure *failure);

/*
 * Opens `first` with what the TPM gives back of some token of its header, and with the same
 * passphrase as many of the `others` as it opens: one that it does not open was not made with it.
 * Headers have been read. `opened` gets a bit for each of the others.
 */
int sealed_root_unseal(struct sealed_root *first, struct sealed_root *const others[], size_t count,
                       const struct sealed_root_system *system,
                       char passphrase[SEALED20_PASSPHRASE], unsigned *opened,
                       struct failure *failure);

/* Whether a passphrase is sealed to another key than the system's. */
bool sealed_root_is_outdated(const struct sealed_root *root,
                             const struct sealed_root_system *system);

/*
 * Of open volumes: a new passphrase, the same for all, sealed to the machine as it is now, in place
 * of those that were sealed before. `passphrase` is the present one, or NULL, if a recovery key has
 * opened them. Whenever it is interrupted, one passphrase or a recovery key opens all of them.
 */
int sealed_root_renew(struct sealed_root *const roots[], size_t count,
                      const struct sealed_root_system *system, const char *passphrase,
                      struct failure *failure);

/*
 * The device with the data of an open volume, "/dev/mapper/NAME", as long as the machine runs, or
 * until mapper_remove. `node` is the device with the volume, which has `size` bytes.
 */
int sealed_root_map(const struct sealed_root *root, const char *name, const char *node,
                    uint64_t size, struct failure *failure);

#endif
