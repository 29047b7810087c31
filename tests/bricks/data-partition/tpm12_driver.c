/*
 * tpm12_driver.c: DEVICE VERB ARGUMENT...: what the data partition asks a TPM 1.2, one step a call;
 * bytes are hexadecimal. Without a device, as "-": hashes.
 */
#include "hexadecimal.h"
#include "owner.h"
#include "seal/tpm12.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int driver_seal(int device, const char *list, const char *text, const char *password,
                       struct failure *failure)
{
    uint32_t pcrs;
    unsigned char secret[TPM12_MOST_SECRET], hidden[SHA1_SIZE] = {0};
    struct tpm12_blob blob;
    driver_read(password, hidden, sizeof hidden);
    if (tpm12_pcrs(list, &pcrs, failure) < 0 ||
        tpm12_seal(device, pcrs, hidden, secret, driver_read(text, secret, sizeof secret), &blob,
                   failure) < 0)
        return -1;
    driver_show(blob.bytes, blob.size);
    return 0;
}

static int driver_unseal(int device, const char *text, const char *password,
                         struct failure *failure)
{
    struct tpm12_blob blob;
    unsigned char secret[TPM12_MOST_SECRET], hidden[SHA1_SIZE] = {0};
    driver_read(password, hidden, sizeof hidden);
    blob.size = driver_read(text, blob.bytes, sizeof blob.bytes);
    int size = tpm12_unseal(device, &blob, hidden, secret, failure);
    if (size < 0)
        return -1;
    driver_show(secret, (size_t)size);
    return 0;
}

static int driver_hash(const char *key, const char *text)
{
    unsigned char bytes[256], digest[SHA1_SIZE], secret[SHA1_SIZE] = {0};
    size_t size = driver_read(text, bytes, sizeof bytes);
    sha1_digest(bytes, size, digest);
    driver_show(digest, sizeof digest);
    driver_read(key, secret, sizeof secret);
    sha1_hmac(secret, bytes, size / 2, bytes + size / 2, size - size / 2, digest);
    driver_show(digest, sizeof digest);
    return 0;
}

static int driver_pcr(int device, struct failure *failure)
{
    unsigned char value[SHA1_SIZE];
    if (tpm12_pcr(device, 11, value, failure) < 0)
        return -1;
    driver_show(value, sizeof value);
    return 0;
}

static int driver_run(int device, char *arguments[], struct failure *failure)
{
    const char *verb = arguments[0];
    if (strcmp(verb, "missing") == 0)
        return printf("%d\n", owner_is_missing(device, failure)) < 0;
    if (strcmp(verb, "own") == 0)
        return owner_take(device, failure);
    if (strcmp(verb, "pcr") == 0)
        return driver_pcr(device, failure);
    if (strcmp(verb, "seal") == 0)
        return driver_seal(device, arguments[1], arguments[2], arguments[3], failure);
    return driver_unseal(device, arguments[1], arguments[2], failure);
}

int main(int count, char *arguments[])
{
    struct failure failure;
    if (count < 3)
        return 2;
    if (strcmp(arguments[1], "-") == 0)
        return driver_hash(arguments[2], arguments[3]);
    int device = tpm_open(arguments[1], &failure);
    if (device < 0 || driver_run(device, arguments + 2, &failure) < 0) {
        fprintf(stderr, "%s\n", failure.text);
        return 1;
    }
    close(device);
    return 0;
}
