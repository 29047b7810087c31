/*
 * sealed20.c: see sealed20.h.
 *
 * Sources: systemd, src/shared/tpm2-util.c (the token; how a PIN becomes a password; passphrases
 * are secrets in base64); tpm2-tss, src/tss2-esys/esys_mu.c (how a key in the TPM is recorded).
 */
#include "seal/sealed20.h"

#include "base/files.h"
#include "seal/hmac256.h"
#include "seal/signers.h"
#include "seal/tpm12.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define SEALED20_START "{\"type\":\"" SEALED20_TYPE "\",\"keyslots\":[\""

enum { PIN_ROUNDS = 10000, KEY_RESOURCE = 1, PCRS = 24 };

/* What a token says. */
struct sealed20_token {
    struct tpm20_policy policy;
    struct tpm20_signer signer;
    struct tpm20_signature signature;
    struct signers_key key;
    unsigned char digest[SHA256_SIZE];
    unsigned char salt[SHA256_SIZE];
    unsigned char password[SHA256_SIZE];
    struct tpm20_blob blob;
    unsigned char root[TPM20_MOST_PARENT];
    size_t root_size;
    bool has_pin;
};

static void sealed20_password(const char *pin, const unsigned char salt[SHA256_SIZE],
                              unsigned char password[SHA256_SIZE])
{
    unsigned char stretched[SHA256_SIZE];
    char text[BASE64_TEXT(SHA256_SIZE)];
    struct sha256 hash;
    hmac256_stretch(pin, strlen(pin), salt, SHA256_SIZE, PIN_ROUNDS, stretched, sizeof stretched);
    base64_write(stretched, sizeof stretched, text);
    sha256_begin(&hash);
    sha256_add(&hash, text, strlen(text));
    sha256_end(&hash, password);
    explicit_bzero(stretched, sizeof stretched);
    explicit_bzero(text, sizeof text);
}

/* The storage root key as tokens name it: handle, name, what it is, and its public area. */
static void sealed20_record(const struct tpm20_parent *parent, struct tpm_message *record)
{
    *record = (struct tpm_message){0};
    tpm_put(record, parent->key.handle, 4);
    tpm_put_sized(record, parent->name, sizeof parent->name);
    tpm_put(record, KEY_RESOURCE, 4);
    tpm_put_bytes(record, parent->area, parent->area_size);
}

static void sealed20_print_pcrs(FILE *out, const char *name, uint32_t pcrs)
{
    const char *between = "";
    fprintf(out, ",\"%s\":[", name);
    for (unsigned pcr = 0; pcr < PCRS; pcr++)
        if (pcrs >> pcr & 1) {
            fprintf(out, "%s%u", between, pcr);
            between = ",";
        }
    fputc(']', out);
}

static void sealed20_print(FILE *out, const char *name, const void *bytes, size_t size)
{
    char *text = malloc(BASE64_TEXT(size));
    if (!text)
        return;
    base64_write(bytes, size, text);
    fprintf(out, ",\"%s\":\"%s\"", name, text);
    free(text);
}

static char *sealed20_text(const struct sealed20_token *token, const struct tpm20_parent *parent,
                           const char *pem, size_t pem_size, int slot, struct failure *failure)
{
    char *text = NULL;
    size_t size;
    struct tpm_message record;
    FILE *out = open_memstream(&text, &size);
    if (!out) {
        failed_errno(failure, "the token");
        return NULL;
    }
    fprintf(out, SEALED20_START "%d\"]", slot);
    sealed20_print(out, "tpm2-blob", token->blob.bytes, token->blob.size);
    sealed20_print_pcrs(out, "tpm2-pcrs", token->policy.pcrs);
    fprintf(out, ",\"tpm2-pcr-bank\":\"sha256\",\"tpm2-primary-alg\":\"%s\"",
            parent->key.is_rsa ? "rsa" : "ecc");
    fputs(",\"tpm2-policy-hash\":\"", out);
    for (size_t i = 0; i < SHA256_SIZE; i++)
        fprintf(out, "%02x", token->digest[i]);
    fputs("\"", out);
    if (token->has_pin) {
        fputs(",\"tpm2-pin\":true", out);
        sealed20_print(out, "tpm2_salt", token->salt, sizeof token->salt);
    }
    if (token->policy.signer) {
        sealed20_print_pcrs(out, "tpm2_pubkey_pcrs", token->policy.signed_pcrs);
        sealed20_print(out, "tpm2_pubkey", pem, pem_size);
    }
    sealed20_record(parent, &record);
    sealed20_print(out, "tpm2_srk", record.bytes, record.size);
    fputc('}', out);
    if (fclose(out) == 0)
        return text;
    failed_errno(failure, "the token");
    free(text);
    return NULL;
}

static int sealed20_prepare(struct sealed20_token *token, const char *pcrs, const char *pem,
                            size_t pem_size, const char *pin, struct failure *failure)
{
    if (tpm12_pcrs(pcrs, &token->policy.pcrs, failure) < 0)
        return -1;
    if (pem) {
        if (signers_read_key(pem, pem_size, &token->key, failure) < 0 ||
            tpm20_signer(token->key.modulus, token->key.modulus_size, &token->signer, failure) < 0)
            return -1;
        token->policy.signer = &token->signer;
        token->policy.signed_pcrs = 1U << SEALED20_SIGNED_PCR;
    }
    token->has_pin = *pin;
    if (!token->has_pin)
        return 0;
    if (getrandom(token->salt, sizeof token->salt, 0) != sizeof token->salt)
        return failed_errno(failure, "getrandom");
    sealed20_password(pin, token->salt, token->password);
    token->policy.password = token->password;
    return 0;
}

static char *sealed20_seal(int device, struct sealed20_token *token, const char *pem,
                           size_t pem_size, int slot, char passphrase[SEALED20_PASSPHRASE],
                           struct failure *failure)
{
    struct tpm20_parent parent;
    unsigned char secret[TPM20_SECRET];
    char *text = NULL;
    if (getrandom(secret, sizeof secret, 0) != sizeof secret) {
        failed_errno(failure, "getrandom");
        return NULL;
    }
    if (tpm20_parent(device, &parent, failure) == 0 &&
        tpm20_digest(device, &token->policy, token->digest, failure) == 0 &&
        tpm20_seal(device, &parent, &token->policy, token->digest, secret, &token->blob, failure) ==
            0)
        text = sealed20_text(token, &parent, pem, pem_size, slot, failure);
    base64_write(secret, sizeof secret, passphrase);
    explicit_bzero(secret, sizeof secret);
    return text;
}

char *sealed20_make(const char *device, const char *pcrs, const char *public_key, const char *pin,
                    int slot, char passphrase[SEALED20_PASSPHRASE], struct failure *failure)
{
    struct sealed20_token token = {0};
    size_t pem_size = 0;
    char *text = NULL;
    char *pem = public_key ? file_read(public_key, SIGNERS_MOST_KEY, &pem_size) : NULL;
    if (public_key && !pem) {
        failed_errno(failure, "%s", public_key);
        return NULL;
    }
    int tpm = tpm_open(device, failure);
    if (tpm >= 0 && sealed20_prepare(&token, pcrs, pem, pem_size, pin, failure) == 0)
        text = sealed20_seal(tpm, &token, pem, pem_size, slot, passphrase, failure);
    if (tpm >= 0)
        close(tpm);
    free(pem);
    explicit_bzero(&token, sizeof token);
    return text;
}

void sealed20_set_slot(char *token, int slot)
{
    token[strlen(SEALED20_START)] = (char)('0' + slot);
}

/* A member in base64; 0 bytes without it, -1 if it is too long. */
static ssize_t sealed20_bytes(const struct json *token, const char *name, void *bytes, size_t most)
{
    const struct json *member = json_member(token, name);
    if (!member || member->type != JSON_STRING)
        return 0;
    return base64_read(member->text, member->length, bytes, most);
}

static uint32_t sealed20_pcrs(const struct json *token, const char *name)
{
    const struct json *list = json_member(token, name);
    uint32_t pcrs = 0;
    if (!list || list->type != JSON_ARRAY)
        return 0;
    for (const struct json *at = list->first; at; at = at->next) {
        unsigned long pcr = at->type == JSON_NUMBER ? strtoul(at->text, NULL, 10) : PCRS;
        if (pcr < PCRS)
            pcrs |= 1U << pcr;
    }
    return pcrs;
}

static int sealed20_read_signer(const struct json *json, struct sealed20_token *token,
                                struct failure *failure)
{
    char pem[SIGNERS_MOST_KEY];
    ssize_t size = sealed20_bytes(json, "tpm2_pubkey", pem, sizeof pem);
    if (size == 0)
        return 0;
    if (size < 0 || signers_read_key(pem, (size_t)size, &token->key, failure) < 0)
        return failed(failure, "the key that it is sealed to is none of RSA");
    token->policy.signer = &token->signer;
    token->policy.signed_pcrs = sealed20_pcrs(json, "tpm2_pubkey_pcrs");
    return tpm20_signer(token->key.modulus, token->key.modulus_size, &token->signer, failure);
}

static int sealed20_read(const struct json *json, struct sealed20_token *token, const char *pin,
                         struct failure *failure)
{
    const struct json *bank = json_string(json, "tpm2-pcr-bank");
    const struct json *has_pin = json_member(json, "tpm2-pin");
    ssize_t blob = sealed20_bytes(json, "tpm2-blob", token->blob.bytes, sizeof token->blob.bytes);
    ssize_t root = sealed20_bytes(json, "tpm2_srk", token->root, sizeof token->root);
    if (blob <= 0 || root <= 0 || (bank && strcmp(bank->text, "sha256") != 0))
        return failed(failure, "the token is not one that this system reads");
    token->blob.size = (size_t)blob;
    token->root_size = (size_t)root;
    token->policy.pcrs = sealed20_pcrs(json, "tpm2-pcrs");
    token->has_pin = has_pin && has_pin->type == JSON_BOOLEAN && *has_pin->text == 't';
    if (token->has_pin) {
        if (sealed20_bytes(json, "tpm2_salt", token->salt, sizeof token->salt) !=
            sizeof token->salt)
            return failed(failure, "the token is not one that this system reads");
        sealed20_password(pin, token->salt, token->password);
        token->policy.password = token->password;
    }
    return sealed20_read_signer(json, token, failure);
}

/* The root key is the one that was sealed to, and PCR 11 is signed. */
static int sealed20_check(int device, struct sealed20_token *token,
                          const struct tpm20_parent *parent, const char *signatures,
                          struct failure *failure)
{
    struct tpm_message record;
    unsigned char digest[SHA256_SIZE];
    sealed20_record(parent, &record);
    if (record.size != token->root_size || memcmp(record.bytes, token->root, record.size) != 0)
        return failed(failure, "this is another TPM, or it was cleared");
    if (!token->policy.signer)
        return 0;
    token->policy.signature = &token->signature;
    if (tpm20_pcr_digest(device, token->policy.signed_pcrs, digest, failure) < 0)
        return -1;
    return signers_find(signatures, &token->key, digest, &token->signature, failure);
}

static int sealed20_unseal(int device, struct sealed20_token *token, const char *signatures,
                           char passphrase[SEALED20_PASSPHRASE], struct failure *failure)
{
    struct tpm20_parent parent;
    unsigned char secret[TPM20_SECRET];
    if (tpm20_parent(device, &parent, failure) < 0 ||
        sealed20_check(device, token, &parent, signatures, failure) < 0 ||
        tpm20_unseal(device, &parent, &token->policy, &token->blob, secret, failure) < 0)
        return -1;
    base64_write(secret, sizeof secret, passphrase);
    explicit_bzero(secret, sizeof secret);
    return 0;
}

int sealed20_open(const char *device, const struct json *json, const char *signatures,
                  const char *pin, char passphrase[SEALED20_PASSPHRASE], struct failure *failure)
{
    struct sealed20_token token = {0};
    if (sealed20_read(json, &token, pin, failure) < 0)
        return -1;
    int tpm = tpm_open(device, failure);
    if (tpm < 0)
        return -1;
    int status = sealed20_unseal(tpm, &token, signatures, passphrase, failure);
    close(tpm);
    explicit_bzero(&token, sizeof token);
    return status;
}

bool sealed20_is_of(const struct json *token, const char *public_key)
{
    char found[SIGNERS_MOST_KEY];
    size_t length;
    char *pem = file_read(public_key, SIGNERS_MOST_KEY, &length);
    ssize_t size = sealed20_bytes(token, "tpm2_pubkey", found, sizeof found);
    bool is_of = pem && size > 0 && (size_t)size == length && memcmp(pem, found, (size_t)size) == 0;
    free(pem);
    return is_of;
}
