/*
 * tpm20_driver.c: what the data partition asks a TPM 2.0, and what it is made of, one step a call;
 * bytes are hexadecimal, "-" stands for none.
 */
#include "base/files.h"
#include "hexadecimal.h"
#include "seal/aes128.h"
#include "seal/hmac256.h"
#include "seal/p256.h"
#include "seal/recovery.h"
#include "seal/rsa2048.h"
#include "seal/sealed20.h"
#include "seal/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1024, MOST_TOKEN = 64 << 10 };

/* KEY VECTOR TEXT: encrypted, and that decrypted. */
static int driver_cipher(char *arguments[])
{
    unsigned char key[MOST_BYTES], vector[MOST_BYTES], bytes[MOST_BYTES];
    driver_read(arguments[0], key, sizeof key);
    driver_read(arguments[1], vector, sizeof vector);
    size_t size = driver_read(arguments[2], bytes, sizeof bytes);
    aes128_encrypt(key, vector, bytes, size);
    driver_show(bytes, size);
    aes128_decrypt(key, vector, bytes, size);
    return driver_show(bytes, size);
}

/* KEY TEXT */
static int driver_code(char *arguments[])
{
    unsigned char key[MOST_BYTES], bytes[MOST_BYTES], digest[SHA256_SIZE];
    struct hmac256 code;
    hmac256_begin(&code, key, driver_read(arguments[0], key, sizeof key));
    hmac256_add(&code, bytes, driver_read(arguments[1], bytes, sizeof bytes));
    hmac256_end(&code, digest);
    return driver_show(digest, sizeof digest);
}

/* PASSWORD SALT ROUNDS */
static int driver_stretch(char *arguments[])
{
    unsigned char salt[MOST_BYTES], digest[SHA256_SIZE];
    size_t size = driver_read(arguments[1], salt, sizeof salt);
    hmac256_stretch(arguments[0], strlen(arguments[0]), salt, size, (unsigned)atoi(arguments[2]),
                    digest, sizeof digest);
    return driver_show(digest, sizeof digest);
}

/* NUMBER [POINT]: x and y of the product; of the base point without one. */
static int driver_multiply(int count, char *arguments[])
{
    unsigned char number[MOST_BYTES], bytes[MOST_BYTES];
    struct p256_point point, product;
    driver_read(arguments[0], number, sizeof number);
    if (count > 1) {
        driver_read(arguments[1], bytes, sizeof bytes);
        memcpy(&point, bytes, sizeof point);
    }
    if (!(count > 1 ? p256_multiply(&point, number, &product) : p256_public(number, &product)))
        return -1;
    memcpy(bytes, &product, sizeof product);
    return driver_show(bytes, sizeof product);
}

/* MODULUS SECRET */
static int driver_encrypt(char *arguments[], struct failure *failure)
{
    unsigned char key[MOST_BYTES], secret[MOST_BYTES], block[RSA2048_SIZE];
    driver_read(arguments[0], key, sizeof key);
    driver_read(arguments[1], secret, sizeof secret);
    if (session_encrypt_salt(key, secret, block, failure) < 0)
        return -1;
    return driver_show(block, sizeof block);
}

static const char *driver_given(const char *argument)
{
    return strcmp(argument, "-") == 0 ? NULL : argument;
}

/* DEVICE PCRS KEY-FILE PIN: passphrase and token. */
static int driver_seal(char *arguments[], struct failure *failure)
{
    char passphrase[SEALED20_PASSPHRASE];
    const char *pin = driver_given(arguments[3]);
    char *token = sealed20_make(arguments[0], arguments[1], driver_given(arguments[2]),
                                pin ? pin : "", 3, passphrase, failure);
    if (!token)
        return -1;
    printf("%s\n%s\n", passphrase, token);
    free(token);
    return 0;
}

/* DEVICE TOKEN-FILE SIGNATURES PIN: the passphrase. */
static int driver_open(char *arguments[], struct failure *failure)
{
    char passphrase[SEALED20_PASSPHRASE];
    size_t length;
    const char *pin = driver_given(arguments[3]);
    char *text = file_read(arguments[1], MOST_TOKEN, &length);
    struct json *token = text ? json_parse(text, length, failure) : NULL;
    int status = token ? sealed20_open(arguments[0], token, arguments[2], pin ? pin : "",
                                       passphrase, failure)
                       : -1;
    if (status == 0)
        puts(passphrase);
    json_free(token);
    free(text);
    return status;
}

static int driver_recovery(struct failure *failure)
{
    char text[RECOVERY_TEXT];
    if (recovery_make(text, failure) < 0)
        return -1;
    puts(text);
    return 0;
}

static int driver_run(int count, char *arguments[], struct failure *failure)
{
    const char *verb = arguments[0];
    if (strcmp(verb, "cipher") == 0 && count == 4)
        return driver_cipher(arguments + 1);
    if (strcmp(verb, "code") == 0 && count == 3)
        return driver_code(arguments + 1);
    if (strcmp(verb, "stretch") == 0 && count == 4)
        return driver_stretch(arguments + 1);
    if (strcmp(verb, "multiply") == 0 && count >= 2)
        return driver_multiply(count - 1, arguments + 1);
    if (strcmp(verb, "encrypt") == 0 && count == 3)
        return driver_encrypt(arguments + 1, failure);
    if (strcmp(verb, "seal") == 0 && count == 5)
        return driver_seal(arguments + 1, failure);
    if (strcmp(verb, "open") == 0 && count == 5)
        return driver_open(arguments + 1, failure);
    if (strcmp(verb, "recovery") == 0 && count == 1)
        return driver_recovery(failure);
    return failed(failure, "usage");
}

int main(int count, char *arguments[])
{
    struct failure failure = {"refused"};
    if (count < 2)
        return 2;
    int status = driver_run(count - 1, arguments + 1, &failure);
    if (status < 0)
        fprintf(stderr, "%s\n", failure.text);
    return status < 0 ? 1 : 0;
}
