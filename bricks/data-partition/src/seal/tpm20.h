/*
 * tpm20.h: sealing to a TPM 2.0: a secret that it gives back only under a policy (PCRs by value, by
 * somebody's signature, a PIN). What is made is what systemd's programs make, byte by byte.
 */
#ifndef COMPOS_TPM20_H
#define COMPOS_TPM20_H

#include "seal/session.h"

#include <stdbool.h>

enum {
    TPM20_SECRET = 32,
    TPM20_MOST_BLOB = 1024,
    TPM20_MOST_PUBLIC = 512,
    TPM20_MOST_SIGNATURE = 512,
    TPM20_MOST_PARENT = 1024
};

/* The storage root key: what is sealed can only be read below it. */
struct tpm20_parent {
    struct session_key key;
    unsigned char name[SESSION_NAME_SIZE];
    unsigned char area[TPM20_MOST_PUBLIC]; /* TPM2B_PUBLIC */
    size_t area_size;
};

/* Who signs values of PCRs. */
struct tpm20_signer {
    unsigned char area[TPM20_MOST_PUBLIC]; /* TPM2B_PUBLIC */
    size_t area_size;
    unsigned char name[SESSION_NAME_SIZE];
};

struct tpm20_signature {
    unsigned char policy[SHA256_SIZE];
    unsigned char bytes[TPM20_MOST_SIGNATURE];
    size_t size;
};

/* What the secret is bound to. PCRs are bits; those of `signed_pcrs` by the signer. */
struct tpm20_policy {
    uint32_t pcrs;
    uint32_t signed_pcrs;
    const struct tpm20_signer *signer;       /* or NULL */
    const unsigned char *password;           /* SHA256_SIZE bytes, or NULL */
    const struct tpm20_signature *signature; /* to unseal */
};

/* Private and public part (TPM2B_PRIVATE, TPM2B_PUBLIC). */
struct tpm20_blob {
    unsigned char bytes[TPM20_MOST_BLOB];
    size_t size;
};

/* The storage root key of the TPM's owner, made if there is none. */
int tpm20_parent(int device, struct tpm20_parent *parent, struct failure *failure);

/* Of RSA, 2048 to 4096 bits, with the exponent 65537. */
int tpm20_signer(const unsigned char *modulus, size_t size, struct tpm20_signer *signer,
                 struct failure *failure);

/* The digest that a policy will have while the PCRs are as they are now. */
int tpm20_digest(int device, const struct tpm20_policy *policy, unsigned char digest[SHA256_SIZE],
                 struct failure *failure);

/* What has to be signed while these PCRs are as they are now. */
int tpm20_pcr_digest(int device, uint32_t pcrs, unsigned char digest[SHA256_SIZE],
                     struct failure *failure);

int tpm20_seal(int device, const struct tpm20_parent *parent, const struct tpm20_policy *policy,
               const unsigned char digest[SHA256_SIZE], const unsigned char secret[TPM20_SECRET],
               struct tpm20_blob *blob, struct failure *failure);

int tpm20_unseal(int device, const struct tpm20_parent *parent, const struct tpm20_policy *policy,
                 const struct tpm20_blob *blob, unsigned char secret[TPM20_SECRET],
                 struct failure *failure);

#endif
