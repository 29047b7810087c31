/*
 * signers.c: see signers.h.
 *
 * Sources: systemd-measure(1) (the JSON of signatures); IETF, RFC 8017, A.1.1 (RSA's public keys),
 * RFC 5280, 4.1.2.7 (what is around them), RFC 7468 (PEM).
 */
#include "seal/signers.h"

#include "base/files.h"
#include "seal/base64.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FINGERPRINT "\"pkfp\":\""
#define BEGIN "-----BEGIN PUBLIC KEY-----"

enum {
    MAX_SIGNATURES = 64 << 10,
    FINGERPRINT_SIZE = 64,
    SEQUENCE = 0x30,
    INTEGER = 0x02,
    BIT_STRING = 0x03
};

/* What is left of a DER document. */
struct signers_rest {
    const unsigned char *at;
    size_t size;
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

/* The contents of the next value, which has that tag; `rest` goes on behind it. */
static bool signers_next(struct signers_rest *rest, unsigned tag, struct signers_rest *contents)
{
    if (rest->size < 2 || rest->at[0] != tag)
        return false;
    size_t length = rest->at[1], head = 2;
    if (length & 0x80) {
        size_t digits = length & 0x7F;
        if (digits < 1 || digits > 2 || rest->size < 2 + digits)
            return false;
        length = 0;
        for (; head < 2 + digits; head++)
            length = length << 8 | rest->at[head];
    }
    if (length > rest->size - head)
        return false;
    *contents = (struct signers_rest){rest->at + head, length};
    rest->at += head + length;
    rest->size -= head + length;
    return true;
}

static bool signers_find_modulus(struct signers_key *key)
{
    struct signers_rest all = {key->der, key->size}, whole, algorithm, bits, pair, number, exponent;
    if (!signers_next(&all, SEQUENCE, &whole) || !signers_next(&whole, SEQUENCE, &algorithm) ||
        !signers_next(&whole, BIT_STRING, &bits) || bits.size < 1)
        return false;
    bits.at++; /* of the last byte, all bits count */
    bits.size--;
    key->rsa = bits.at;
    key->rsa_size = bits.size;
    if (!signers_next(&bits, SEQUENCE, &pair) || !signers_next(&pair, INTEGER, &number) ||
        !signers_next(&pair, INTEGER, &exponent))
        return false;
    if (exponent.size != 3 || memcmp(exponent.at, "\1\0\1", 3) != 0)
        return false;
    size_t zeros = number.size > 0 && number.at[0] == 0;
    key->modulus = number.at + zeros;
    key->modulus_size = number.size - zeros;
    return true;
}

int signers_read_key(const char *pem, size_t length, struct signers_key *key,
                     struct failure *failure)
{
    size_t head = strlen(BEGIN);
    if (length < head || memcmp(pem, BEGIN, head) != 0)
        return failed(failure, "the PCR key is no public key");
    ssize_t size = base64_read(pem + head, length - head, key->der, sizeof key->der);
    key->size = size < 0 ? 0 : (size_t)size;
    if (!signers_find_modulus(key))
        return failed(failure, "the PCR key is not one of RSA with the exponent 65537");
    return 0;
}

static void signers_hex(const unsigned char digest[SHA256_SIZE], char text[2 * SHA256_SIZE + 1])
{
    for (size_t i = 0; i < SHA256_SIZE; i++)
        sprintf(text + 2 * i, "%02x", digest[i]);
}

static bool signers_is(const struct json *entry, const char *member, const char *expected)
{
    const struct json *found = json_string(entry, member);
    return found && strcmp(found->text, expected) == 0;
}

static bool signers_read(const struct json *entry, struct tpm20_signature *signature)
{
    const struct json *text = json_string(entry, "sig");
    ssize_t size =
        text ? base64_read(text->text, text->length, signature->bytes, sizeof signature->bytes)
             : -1;
    signature->size = size < 0 ? 0 : (size_t)size;
    return size > 0;
}

int signers_find(const char *signatures, const struct signers_key *key,
                 const unsigned char policy[SHA256_SIZE], struct tpm20_signature *signature,
                 struct failure *failure)
{
    char fingerprint[2 * SHA256_SIZE + 1], wanted[2 * SHA256_SIZE + 1];
    unsigned char digest[SHA256_SIZE];
    struct sha256 hash;
    size_t length;
    char *text = file_read(signatures, MAX_SIGNATURES, &length);
    struct json *root = text ? json_parse(text, length, failure) : NULL;
    sha256_begin(&hash);
    sha256_add(&hash, key->rsa, key->rsa_size);
    sha256_end(&hash, digest);
    signers_hex(digest, fingerprint);
    signers_hex(policy, wanted);
    memcpy(signature->policy, policy, SHA256_SIZE);
    const struct json *list = json_member(root, "sha256");
    const struct json *entry = list && list->type == JSON_ARRAY ? list->first : NULL;
    bool found = false;
    for (; entry && !found; entry = entry->next)
        found = signers_is(entry, "pkfp", fingerprint) && signers_is(entry, "pol", wanted) &&
                signers_read(entry, signature);
    json_free(root);
    free(text);
    return found ? 0 : failed(failure, "PCR 11 is not signed by the key that it is sealed to");
}
