/* sealed12.c: see sealed12.h. */
#include "sealed12.h"

#include "disk/report.h"
#include "owner.h"
#include "seal/platform.h"
#include "token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEVICE "/dev/tpm0"
#define TYPE "compos-tpm12"

enum { TEXT_SIZE = 2 * TPM12_MOST_BLOB + 1 };

static void sealed12_write_hex(const unsigned char *bytes, size_t size, char *text)
{
    for (size_t i = 0; i < size; i++)
        sprintf(text + 2 * i, "%02x", bytes[i]);
    text[2 * size] = 0;
}

static int sealed12_digit(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = digit ? strchr(digits, digit) : NULL;
    return found ? (int)(found - digits) : -1;
}

/* -1 if it is not what was written. */
static int sealed12_read_hex(const char *text, struct tpm12_blob *blob)
{
    size_t length = strlen(text);
    if (length % 2 || length / 2 > sizeof blob->bytes)
        return -1;
    blob->size = length / 2;
    for (size_t i = 0; i < blob->size; i++) {
        int high = sealed12_digit(text[2 * i]), low = sealed12_digit(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        blob->bytes[i] = (unsigned char)(high << 4 | low);
    }
    return 0;
}

static void sealed12_password(const char *pin, unsigned char password[SHA1_SIZE])
{
    memset(password, 0, SHA1_SIZE);
    if (*pin)
        sha1_digest(pin, strlen(pin), password);
}

static int sealed12_own(int device, struct failure *failure)
{
    int is_missing = owner_is_missing(device, failure);
    if (is_missing <= 0)
        return is_missing;
    report("data-partition", "the TPM 1.2 has no owner: taking ownership");
    return owner_take(device, failure);
}

static int sealed12_write_token(const char *node, const struct tpm12_blob *blob,
                                struct failure *failure)
{
    char text[TEXT_SIZE], token[TEXT_SIZE + 128];
    sealed12_write_hex(blob->bytes, blob->size, text);
    snprintf(token, sizeof token, "{\"type\":\"" TYPE "\",\"keyslots\":[\"0\"],\"blob\":\"%s\"}",
             text);
    return token_write(node, TOKEN_TPM12, token, failure);
}

int sealed12_store(const char *node, const char *pcrs, const char *pin, const unsigned char *key,
                   size_t size, struct failure *failure)
{
    unsigned char password[SHA1_SIZE];
    struct tpm12_blob blob;
    uint32_t chosen;
    if (tpm12_pcrs(pcrs, &chosen, failure) < 0)
        return -1;
    int device = tpm_open(DEVICE, failure);
    if (device < 0)
        return -1;
    sealed12_password(pin, password);
    int status = sealed12_own(device, failure);
    if (status == 0)
        status = tpm12_seal(device, chosen, password, key, size, &blob, failure);
    explicit_bzero(password, sizeof password);
    close(device);
    return status < 0 ? -1 : sealed12_write_token(node, &blob, failure);
}

static int sealed12_read_token(const char *node, struct tpm12_blob *blob, struct failure *failure)
{
    char text[TEXT_SIZE];
    char *token = token_read(node, TOKEN_TPM12);
    bool is_whole = token && platform_member(token, "blob", text, sizeof text) &&
                    sealed12_read_hex(text, blob) == 0;
    free(token);
    return is_whole ? 0 : failed(failure, "no key is sealed to a TPM 1.2");
}

int sealed12_key(const char *node, const char *pin, unsigned char key[TPM12_MOST_SECRET],
                 struct failure *failure)
{
    unsigned char password[SHA1_SIZE];
    struct tpm12_blob blob;
    if (sealed12_read_token(node, &blob, failure) < 0)
        return -1;
    int device = tpm_open(DEVICE, failure);
    if (device < 0)
        return -1;
    sealed12_password(pin, password);
    int size = tpm12_unseal(device, &blob, password, key, failure);
    explicit_bzero(password, sizeof password);
    close(device);
    return size;
}
