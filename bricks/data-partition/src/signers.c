/*
 * signers.c: see signers.h.
 *
 * Sources: systemd-measure(1) (the JSON of signatures); systemd, src/shared/tpm2-util.c (the token
 * systemd-tpm2; its member tpm2_pubkey is the PEM file in base64).
 */
#include "signers.h"

#include "base/files.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FINGERPRINT "\"pkfp\":\""
#define TOKEN_TYPE "systemd-tpm2"

enum {
    MAX_SIGNATURES = 64 << 10,
    MAX_KEY = 4096,
    ENCODED_KEY = (MAX_KEY + 2) / 3 * 4 + 1,
    FINGERPRINT_SIZE = 64,
    TOKENS = 8 /* a recovery key, and those of a TPM; each look takes a moment */
};

bool signers_are_several(const char *signatures)
{
    size_t length;
    char *text = file_read(signatures, MAX_SIGNATURES, &length);
    const char *first = text ? strstr(text, FINGERPRINT) : NULL;
    bool several = false;
    for (const char *at = first; at && !several; at = strstr(at + 1, FINGERPRINT))
        several = strncmp(at, first, strlen(FINGERPRINT) + FINGERPRINT_SIZE) != 0;
    free(text);
    return several;
}

static void signers_encode(const unsigned char *bytes, size_t size, char *text)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < size; i += 3) {
        unsigned three = (unsigned)bytes[i] << 16;
        three |= i + 1 < size ? (unsigned)bytes[i + 1] << 8 : 0;
        three |= i + 2 < size ? bytes[i + 2] : 0;
        *text++ = letters[three >> 18];
        *text++ = letters[three >> 12 & 63];
        *text++ = i + 1 < size ? letters[three >> 6 & 63] : '=';
        *text++ = i + 2 < size ? letters[three & 63] : '=';
    }
    *text = 0;
}

/* Whether a token is of the TPM and has this key. JSON may write a slash with a backslash. */
static bool signers_token_has(const char *token, const char *encoded)
{
    char plain[ENCODED_KEY + 1], type[32], found[2 * ENCODED_KEY];
    if (!token_member(token, "type", type, sizeof type) || strcmp(type, TOKEN_TYPE) != 0 ||
        !token_member(token, "tpm2_pubkey", found, sizeof found))
        return false;
    size_t length = 0;
    for (const char *at = found; *at && length < ENCODED_KEY; at++)
        if (*at != '\\')
            plain[length++] = *at;
    plain[length] = 0;
    return strcmp(plain, encoded) == 0;
}

bool signers_is_own(const char *node, const char *key)
{
    char encoded[ENCODED_KEY], id[4];
    size_t length;
    char *pem = file_read(key, MAX_KEY, &length);
    if (!pem)
        return false;
    signers_encode((const unsigned char *)pem, length, encoded);
    free(pem);
    bool is_own = false;
    for (int number = 0; number < TOKENS && !is_own; number++) {
        snprintf(id, sizeof id, "%d", number);
        char *token = token_read(node, id);
        is_own = token && signers_token_has(token, encoded);
        free(token);
    }
    return is_own;
}
