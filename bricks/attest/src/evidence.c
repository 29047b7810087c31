/*
 * evidence.c: see evidence.h.
 *
 * Sources: TCG, "TPM 2.0 Library", part 3, 18.4 (TPM2_Quote) and 22.4 (TPM2_PCR_Read).
 */
#include "evidence.h"

#include "base/files.h"
#include "keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TPM_CC_QUOTE = 0x158,
    TPM_CC_PCR_READ = 0x17E,
    TPM_ALG_SHA256 = 0x000B,
    TPM_ALG_NULL = 0x0010,
    PASSWORD_SIZE = 9,
    PCRS = 16,
    DIGEST_SIZE = 32,
    SELECTED = 3,
    MAX_CERTIFICATE = 4096,
    MAX_LOG = 1 << 20,
    ATTEMPTS = 5
};

struct evidence_pcrs {
    unsigned char values[PCRS][DIGEST_SIZE];
    uint32_t updates;
};

static void evidence_base64(struct text *json, const char *name, const unsigned char *bytes,
                            size_t size)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    text_add(json, ", \"%s\": \"", name);
    for (size_t i = 0; i < size; i += 3) {
        uint32_t three = (uint32_t)bytes[i] << 16;
        if (i + 1 < size)
            three |= (uint32_t)bytes[i + 1] << 8;
        if (i + 2 < size)
            three |= bytes[i + 2];
        text_add(json, "%c%c%c%c", letters[three >> 18], letters[three >> 12 & 63],
                 i + 1 < size ? letters[three >> 6 & 63] : '=',
                 i + 2 < size ? letters[three & 63] : '=');
    }
    text_add(json, "\"");
}

/* The PCRs of `mask`, a bit each. */
static void evidence_select(struct tpm_message *message, uint32_t mask)
{
    tpm_put(message, 1, 4);
    tpm_put(message, TPM_ALG_SHA256, 2);
    tpm_put(message, SELECTED, 1);
    for (int i = 0; i < SELECTED; i++)
        tpm_put(message, mask >> 8 * i & 0xFF, 1);
}

/* A TPM answers with eight values at most. */
static int evidence_read_some(int device, struct evidence_pcrs *pcrs, uint32_t *left,
                              struct failure *failure)
{
    struct tpm_message message;
    tpm_begin(&message, TPM_ST_NO_SESSIONS, TPM_CC_PCR_READ);
    evidence_select(&message, *left);
    if (tpm_send(device, &message, "PCRs", failure) < 0)
        return -1;
    uint32_t updates = tpm_get(&message, 4), banks = tpm_get(&message, 4), mask = 0;
    uint32_t bank = tpm_get(&message, 2), width = tpm_get(&message, 1);
    for (uint32_t i = 0; i < width && width <= SELECTED; i++)
        mask |= tpm_get(&message, 1) << 8 * i;
    tpm_get(&message, 4);
    if (message.bad || banks != 1 || bank != TPM_ALG_SHA256 || width > SELECTED ||
        (mask & *left) == 0 || (mask & ~*left) != 0)
        return failed(failure, "the TPM has no PCRs of SHA-256");
    if (*left != (1U << PCRS) - 1 && updates != pcrs->updates)
        return failed(failure, "the PCRs are changing");
    pcrs->updates = updates;
    for (size_t i = 0; i < PCRS; i++) {
        const unsigned char *value;
        if (!(mask >> i & 1))
            continue;
        if (tpm_get_sized(&message, &value) != DIGEST_SIZE)
            return failed(failure, "PCR %zu is cut off", i);
        memcpy(pcrs->values[i], value, DIGEST_SIZE);
    }
    *left &= ~mask;
    return 0;
}

static int evidence_read(int device, struct evidence_pcrs *pcrs, struct failure *failure)
{
    uint32_t left = (1U << PCRS) - 1;
    while (left)
        if (evidence_read_some(device, pcrs, &left, failure) < 0)
            return -1;
    return 0;
}

static int evidence_sign(int device, uint32_t key, const struct tpm_message *nonce,
                         struct tpm_message *answer, struct failure *failure)
{
    tpm_begin(answer, TPM_ST_SESSIONS, TPM_CC_QUOTE);
    tpm_put(answer, key, 4);
    tpm_put(answer, PASSWORD_SIZE, 4);
    tpm_put_password(answer);
    tpm_put_sized(answer, nonce->bytes, nonce->size);
    tpm_put(answer, TPM_ALG_NULL, 2); /* the key's own scheme */
    evidence_select(answer, (1U << PCRS) - 1);
    return tpm_send(device, answer, "quote", failure);
}

/* The values and a quote of just these: nothing may be measured between the three. */
static int evidence_take(int device, uint32_t key, const struct tpm_message *nonce,
                         struct evidence_pcrs *pcrs, struct tpm_message *quote,
                         struct failure *failure)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        struct evidence_pcrs after = {0};
        if (evidence_read(device, pcrs, failure) < 0)
            continue;
        if (evidence_sign(device, key, nonce, quote, failure) < 0)
            return -1;
        if (evidence_read(device, &after, failure) == 0 && after.updates == pcrs->updates)
            return 0;
        failed(failure, "the PCRs are changing");
    }
    return -1;
}

static int evidence_add_quote(struct text *json, struct tpm_message *answer,
                              const struct evidence_pcrs *pcrs, struct failure *failure)
{
    const unsigned char *quote;
    tpm_get(answer, 4);
    size_t size = tpm_get_sized(answer, &quote);
    /* Behind it is the session's answer: no nonce, attributes, no password. */
    size_t rest = answer->size - answer->at;
    if (answer->bad || rest <= 5)
        return failed(failure, "quote: an answer that is cut off");
    evidence_base64(json, "quote", quote, size);
    evidence_base64(json, "signature", answer->bytes + answer->at, rest - 5);
    text_add(json, ", \"pcrs\": [");
    for (size_t i = 0; i < PCRS; i++) {
        text_add(json, "%s\"", i ? ", " : "");
        for (size_t j = 0; j < DIGEST_SIZE; j++)
            text_add(json, "%02x", pcrs->values[i][j]);
        text_add(json, "\"");
    }
    text_add(json, "]");
    return 0;
}

/* A machine whose firmware has left none says so by an empty one. */
static int evidence_add_log(struct text *json, const char *path, struct failure *failure)
{
    size_t size = 0;
    char *log = file_read(path, MAX_LOG, &size);
    if (!log && errno != ENOENT)
        return failed_errno(failure, "%s", path);
    evidence_base64(json, "event_log", (const unsigned char *)log, size);
    free(log);
    return 0;
}

int evidence_quote(const struct evidence_places *places, const struct tpm_message *nonce,
                   struct text *json, struct failure *failure)
{
    struct loaded_key key;
    struct evidence_pcrs pcrs = {0};
    struct tpm_message quote;
    int device = tpm_open(places->device, failure);
    if (device < 0)
        return -1;
    int result = keys_load(device, KEY_ATTESTATION, &key, failure);
    if (result == 0) {
        result = evidence_take(device, key.handle, nonce, &pcrs, &quote, failure);
        tpm_flush(device, key.handle);
    }
    close(device);
    if (result < 0)
        return -1;
    text_add(json, "{\"version\": 1");
    evidence_base64(json, "attestation_key", key.public_area, key.public_size);
    if (evidence_add_quote(json, &quote, &pcrs, failure) < 0 ||
        evidence_add_log(json, places->log, failure) < 0)
        return -1;
    text_add(json, "}\n");
    return 0;
}

static int evidence_add_key(int device, enum key which, const char *name, struct text *json,
                            struct failure *failure)
{
    struct loaded_key key;
    if (keys_load(device, which, &key, failure) < 0)
        return -1;
    tpm_flush(device, key.handle);
    evidence_base64(json, name, key.public_area, key.public_size);
    return 0;
}

int evidence_identity(const struct evidence_places *places, struct text *json,
                      struct failure *failure)
{
    unsigned char certificate[MAX_CERTIFICATE];
    int device = tpm_open(places->device, failure), size = -1;
    if (device < 0)
        return -1;
    text_add(json, "{\"version\": 1");
    if (evidence_add_key(device, KEY_ATTESTATION, "attestation_key", json, failure) == 0 &&
        evidence_add_key(device, KEY_ENDORSEMENT, "endorsement_key", json, failure) == 0)
        size = keys_certificate(device, certificate, sizeof certificate, failure);
    close(device);
    if (size < 0)
        return -1;
    evidence_base64(json, "endorsement_certificate", certificate, (size_t)size);
    text_add(json, "}\n");
    return 0;
}

int evidence_activate(const struct evidence_places *places, const struct tpm_message *credential,
                      const struct tpm_message *encrypted, struct text *json,
                      struct failure *failure)
{
    unsigned char secret[64];
    int device = tpm_open(places->device, failure);
    if (device < 0)
        return -1;
    int size = keys_activate(device, credential, encrypted, secret, failure);
    close(device);
    if (size < 0)
        return -1;
    text_add(json, "{\"version\": 1");
    evidence_base64(json, "secret", secret, (size_t)size);
    text_add(json, "}\n");
    return 0;
}
