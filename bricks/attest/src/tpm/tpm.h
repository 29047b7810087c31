/* tpm.h: commands to a TPM, and its answers: numbers are big-endian, and every byte counts. */
#ifndef COMPOS_TPM_H
#define COMPOS_TPM_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TPM_MAX_MESSAGE = 4096, TPM_ST_NO_SESSIONS = 0x8001, TPM_ST_SESSIONS = 0x8002 };

/*
 * A command as it is put together, then its answer as it is read. What does not fit, or is not
 * there, sets `bad`; nothing is read or written then.
 */
struct tpm_message {
    unsigned char bytes[TPM_MAX_MESSAGE];
    size_t size;
    size_t at;
    uint32_t code; /* of an answer: 0, or the TPM's error */
    bool bad;
};

/* The device, or a socket of swtpm's (server type unixio). -1. */
int tpm_open(const char *path, struct failure *failure);

void tpm_begin(struct tpm_message *message, uint16_t tag, uint32_t command);
void tpm_put(struct tpm_message *message, uint32_t value, size_t size);
void tpm_put_bytes(struct tpm_message *message, const void *bytes, size_t size);

/* With two bytes of length in front. */
void tpm_put_sized(struct tpm_message *message, const void *bytes, size_t size);

/* An authorization by an empty password. */
void tpm_put_password(struct tpm_message *message);

/* Sends it, and has the answer in its place, behind the header. Names `what` in a failure. */
int tpm_send(int device, struct tpm_message *message, const char *what, struct failure *failure);

/* A TPM 2.0 forgets a session or an object that is no longer needed (TPM2_FlushContext). */
void tpm_flush(int device, uint32_t handle);

uint32_t tpm_get(struct tpm_message *message, size_t size);

/* The next `size` bytes, or NULL. */
const unsigned char *tpm_get_bytes(struct tpm_message *message, size_t size);

/* The next field with two bytes of length in front: how many bytes follow, at `*bytes`. */
size_t tpm_get_sized(struct tpm_message *message, const unsigned char **bytes);

#endif
