/*
 * signers.h: whose signatures of PCR 11 a system brings (.pcrsig, JSON), and to which of these keys
 * a volume is sealed.
 */
#ifndef COMPOS_SIGNERS_H
#define COMPOS_SIGNERS_H

#include "json/json.h"
#include "seal/tpm20.h"

#include <stdbool.h>

enum { SIGNERS_MOST_KEY = 4096 };

/* A public key of RSA; RSAPublicKey, by whose hash signatures name it, and its modulus are parts of
 * `der`. */
struct signers_key {
    unsigned char der[SIGNERS_MOST_KEY];
    size_t size;
    const unsigned char *rsa;
    size_t rsa_size;
    const unsigned char *modulus;
    size_t modulus_size;
};

/* Of a PEM file's text. */
int signers_read_key(const char *pem, size_t length, struct signers_key *key,
                     struct failure *failure);

/* Whether the signatures in the file are of more than one key. */
bool signers_are_several(const char *signatures);

/* The key's signature of a policy. -1 if the file has none. */
int signers_find(const char *signatures, const struct signers_key *key,
                 const unsigned char policy[SHA256_SIZE], struct tpm20_signature *signature,
                 struct failure *failure);

#endif
