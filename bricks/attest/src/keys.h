/*
 * keys.h: the two keys that a machine is known by. Both are made anew of the TPM's endorsement seed
 * each time, and are always the same: nothing is stored.
 */
#ifndef COMPOS_KEYS_H
#define COMPOS_KEYS_H

#include "tpm/tpm.h"

/* The key that signs quotes, ECDSA with P-256, restricted; the endorsement key, RSA 2048
 * or, where its maker has certified that one alone, ECC with P-256. */
enum key { KEY_ATTESTATION, KEY_ENDORSEMENT };

/* A key in the TPM, until `tpm_flush`, and its TPMT_PUBLIC. */
struct loaded_key {
    uint32_t handle;
    unsigned char public_area[1024];
    size_t public_size;
};

int keys_load(int device, enum key which, struct loaded_key *key, struct failure *failure);

/*
 * The secret that somebody has encrypted for this endorsement key and this attestation key: the
 * proof that one TPM has both (TPM2_ActivateCredential). How many bytes.
 */
int keys_activate(int device, const struct tpm_message *credential,
                  const struct tpm_message *encrypted, unsigned char secret[64],
                  struct failure *failure);

/* The certificate of the endorsement key that its maker has left in the TPM, DER; 0 bytes
 * without one. */
int keys_certificate(int device, unsigned char *bytes, size_t room, struct failure *failure);

#endif
