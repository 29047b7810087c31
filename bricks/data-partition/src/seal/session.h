/*
 * session.h: sessions with a TPM 2.0 that are salted: only the owner of a key in the TPM can know
 * their own key. Secrets cross the line encrypted, and nobody changes anything on the way.
 */
#ifndef COMPOS_SESSION_H
#define COMPOS_SESSION_H

#include "disk/sha256.h"
#include "seal/rsa2048.h"
#include "tpm/tpm.h"

enum {
    SESSION_HMAC = 0,
    SESSION_POLICY = 1,
    SESSION_ENCRYPTS_COMMAND = 1 << 5,
    SESSION_ENCRYPTS_ANSWER = 1 << 6,
    SESSION_KEY_SIZE = 256, /* of RSA; a point is smaller */
    SESSION_NAME_SIZE = 2 + SHA256_SIZE
};

/* A key in the TPM, and what is known of it outside. */
struct session_key {
    uint32_t handle;
    bool is_rsa;
    unsigned char number[SESSION_KEY_SIZE]; /* the modulus, or x and y */
};

struct session {
    uint32_t handle;
    unsigned char ours[SHA256_SIZE]; /* nonces */
    unsigned char theirs[SHA256_SIZE];
    unsigned char key[SHA256_SIZE];
};

/* A command with one handle, which the session authorizes. */
struct session_command {
    const char *what;
    uint32_t number;
    uint32_t handle;
    const unsigned char *name;   /* of what the handle stands for: SESSION_NAME_SIZE bytes */
    const unsigned char *secret; /* its password: SHA256_SIZE bytes, or NULL */
    unsigned char encrypts;      /* the first field of the command or of the answer */
};

/* A salt for the owner of a key of RSA alone (RSAES-OAEP, SHA-256). */
int session_encrypt_salt(const unsigned char number[RSA2048_SIZE],
                         const unsigned char salt[SHA256_SIZE], unsigned char block[RSA2048_SIZE],
                         struct failure *failure);

int session_start(int device, const struct session_key *key, uint8_t kind, struct session *session,
                  struct failure *failure);

/* Sends `parameters`, and has those of the answer in their place. Ends the session. */
int session_send(int device, struct session *session, const struct session_command *command,
                 struct tpm_message *parameters, struct failure *failure);

#endif
