/*
 * escrow.c: see escrow.h.
 *
 * Sources: IETF, RFC 8017, 7.1.1 (RSAES-OAEP, here with SHA-256 and no label); cryptsetup,
 * docs/on-disk-format-luks2.pdf, 2.1 (where the UUID is).
 */
#include "escrow.h"

#include "base/files.h"
#include "base/keep.h"
#include "disk/sha256.h"
#include "seal/base64.h"
#include "seal/rsa2048.h"
#include "seal/signers.h"
#include "token.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* systemd's tokens begin at 0, our others end at 31. */
#define ESCROW_TOKEN "29"
#define ESCROW_FILE ".compos-escrow"
#define ESCROW_MACHINE "/sys/class/dmi/id/product_uuid"

enum { UUID_AT = 168, UUID_SIZE = 40, MACHINE_SIZE = 64, MESSAGE_SIZE = 160 };

/* What an envelope says of itself, besides the secret. */
struct escrow_names {
    char uuid[UUID_SIZE];
    char machine[MACHINE_SIZE];
    char key[2 * SHA256_SIZE + 1]; /* the SHA-256 of the public key, as SubjectPublicKeyInfo */
};

/* Letters, digits and hyphens: text that needs no escapes in JSON. */
static void escrow_clean(char *text)
{
    size_t length = strspn(text, "0123456789ABCDEFabcdef-");
    text[length] = 0;
}

static int escrow_read_uuid(const char *node, char uuid[UUID_SIZE], struct failure *failure)
{
    int device = open(node, O_RDONLY | O_CLOEXEC);
    if (device < 0)
        return failed_errno(failure, "%s", node);
    ssize_t size = pread(device, uuid, UUID_SIZE, UUID_AT);
    close(device);
    if (size != UUID_SIZE)
        return failed(failure, "%s has no header", node);
    uuid[UUID_SIZE - 1] = 0;
    escrow_clean(uuid);
    return 0;
}

static int escrow_read_key(const char *path, struct signers_key *key, struct failure *failure)
{
    size_t length;
    char *pem = file_read(path, SIGNERS_MOST_KEY, &length);
    if (!pem)
        return failed_errno(failure, "%s", path);
    int status = signers_read_key(pem, length, key, failure);
    free(pem);
    if (status < 0 || key->modulus_size != RSA2048_SIZE)
        return failed(failure, "%s: not a public key of RSA with 2048 bits and the exponent 65537",
                      path);
    return 0;
}

static void escrow_name(const struct signers_key *key, struct escrow_names *names)
{
    unsigned char digest[SHA256_SIZE];
    if (file_line(ESCROW_MACHINE, names->machine, sizeof names->machine) < 0)
        names->machine[0] = 0;
    escrow_clean(names->machine);
    sha256_of(key->der, key->size, NULL, 0, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        sprintf(names->key + 2 * i, "%02x", digest[i]);
}

/* The recovery key and the volume's UUID, which nobody can exchange between two envelopes. */
static int escrow_encrypt(const struct signers_key *key, const char *uuid, const char *recovery,
                          unsigned char block[RSA2048_SIZE], struct failure *failure)
{
    static const struct rsa2048_hash hash = {SHA256_SIZE, sha256_of};
    unsigned char seed[SHA256_SIZE];
    char message[MESSAGE_SIZE];
    if (getrandom(seed, sizeof seed, 0) != sizeof seed)
        return failed_errno(failure, "getrandom");
    int length = snprintf(message, sizeof message, "%s %s\n", recovery, uuid);
    int status = rsa2048_encrypt_message(key->modulus, &hash, "", 0, seed, message, (size_t)length,
                                         block, failure);
    explicit_bzero(message, sizeof message);
    explicit_bzero(seed, sizeof seed);
    return status;
}

int escrow_store(const char *node, const char *key, const char *recovery, struct failure *failure)
{
    struct signers_key public;
    struct escrow_names names;
    unsigned char block[RSA2048_SIZE];
    char envelope[BASE64_TEXT(RSA2048_SIZE)], text[1024];
    if (escrow_read_key(key, &public, failure) < 0 ||
        escrow_read_uuid(node, names.uuid, failure) < 0)
        return -1;
    escrow_name(&public, &names);
    if (escrow_encrypt(&public, names.uuid, recovery, block, failure) < 0)
        return -1;
    base64_write(block, sizeof block, envelope);
    snprintf(
        text, sizeof text,
        "{\"type\":\"compos-escrow\",\"keyslots\":[\"1\"],\"volume\":\"%s\",\"machine\":\"%s\","
        "\"key\":\"%s\",\"envelope\":\"%s\"}",
        names.uuid, names.machine, names.key, envelope);
    return token_write(node, ESCROW_TOKEN, text, failure);
}

int escrow_show(const char *node, const char *folder, struct failure *failure)
{
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/" ESCROW_FILE, folder);
    if (access(path, F_OK) == 0)
        return 0;
    char *token = token_read(node, ESCROW_TOKEN);
    int status = token ? keep_replace(folder, ESCROW_FILE, token) : 0;
    free(token);
    return status < 0 ? failed_errno(failure, "%s", path) : 0;
}
