/*
 * tpm12.h: sealing to a TPM 1.2: a secret that it gives back only while chosen PCRs have the values
 * that they have now. The storage root key has the well-known secret, 20 zero bytes.
 */
#ifndef COMPOS_TPM12_H
#define COMPOS_TPM12_H

#include "seal/sha1.h"
#include "tpm/tpm.h"

enum { TPM12_DEVICES = 24, TPM12_MOST_SECRET = 64, TPM12_MOST_BLOB = 512 };

/* What the TPM has made of the secret; only this TPM can read it. */
struct tpm12_blob {
    unsigned char bytes[TPM12_MOST_BLOB];
    size_t size;
};

/* Two sessions are all that is ever open; a command ends those that it has used. */
struct tpm12_session {
    uint32_t handle;
    unsigned char nonce[SHA1_SIZE];  /* the TPM's */
    unsigned char secret[SHA1_SIZE]; /* what authorizations are made with */
};

/* The value of a PCR. */
int tpm12_pcr(int device, unsigned pcr, unsigned char value[SHA1_SIZE], struct failure *failure);

/* The PCRs of a list, "7+11", as bits. -1 if it is none. */
int tpm12_pcrs(const char *list, uint32_t *pcrs, struct failure *failure);

/* `password`: what unsealing needs besides, all zero for nothing. */
int tpm12_seal(int device, uint32_t pcrs, const unsigned char password[SHA1_SIZE],
               const unsigned char *secret, size_t size, struct tpm12_blob *blob,
               struct failure *failure);

/* How many bytes the secret has. */
int tpm12_unseal(int device, const struct tpm12_blob *blob, const unsigned char password[SHA1_SIZE],
                 unsigned char secret[TPM12_MOST_SECRET], struct failure *failure);

/* A session by a secret (OIAP), and the authorization of `command` in it. */
int tpm12_start(int device, const unsigned char secret[SHA1_SIZE], struct tpm12_session *session,
                struct failure *failure);
int tpm12_authorize(struct tpm_message *command, const struct tpm12_session *session,
                    const unsigned char parameters[SHA1_SIZE], struct failure *failure);

/* Sends a command; errors in words. */
int tpm12_send(int device, struct tpm_message *command, const char *what, struct failure *failure);

/* Random bytes of the kernel's. */
int tpm12_random(void *bytes, size_t size, struct failure *failure);

#endif
