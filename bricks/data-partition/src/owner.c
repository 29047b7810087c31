/*
 * owner.c: see owner.h.
 *
 * Sources: TCG, "TPM Main", 1.2 revision 116: part 2, 10.2 (TPM_KEY), 10.4 (TPM_STORE_PUBKEY), 10.8
 * (TPM_KEY_PARMS), 21.6 (capabilities); part 3, 6.1 (TPM_TakeOwnership), 7.1 (TPM_GetCapability),
 * 14.1 (TPM_CreateEndorsementKeyPair), 14.4 (TPM_ReadPubek); part 1, 31.1.1 (OAEP with the label
 * "TCPA"). IETF, RFC 8017, 7.1.1 (RSAES-OAEP).
 */
#include "owner.h"

#include "seal/rsa2048.h"
#include "seal/tpm12.h"

#include <string.h>

enum {
    TAG_COMMAND = 0xC1,
    TAG_ONE_SECRET = 0xC2,
    ORD_TAKE_OWNERSHIP = 0x0D,
    ORD_GET_CAPABILITY = 0x65,
    ORD_CREATE_EK = 0x78,
    ORD_READ_EK = 0x7C,
    CAPABILITY_PROPERTY = 5,
    PROPERTY_OWNER = 0x111,
    NO_ENDORSEMENT = 0x23,
    PROTOCOL_OWNER = 5,
    KEY_STORAGE = 0x11,
    AUTH_ALWAYS = 1,
    ALGORITHM_RSA = 1,
    SCHEME_NO_SIGNATURE = 1,
    SCHEME_OAEP = 3,
    KEY_BITS = 2048,
    KEY_SIZE = RSA2048_SIZE,
    EXPONENT = 65537
};

static void owner_digest(const void *first, size_t first_size, const void *second,
                         size_t second_size, unsigned char *digest)
{
    struct sha1 hash;
    sha1_begin(&hash);
    sha1_add(&hash, first, first_size);
    sha1_add(&hash, second, second_size);
    sha1_end(&hash, digest);
}

/* A secret of SHA1_SIZE bytes for the TPM alone. */
static int owner_encrypt(const unsigned char key[KEY_SIZE], const unsigned char secret[SHA1_SIZE],
                         unsigned char block[KEY_SIZE], struct failure *failure)
{
    static const struct rsa2048_hash hash = {SHA1_SIZE, owner_digest};
    unsigned char seed[SHA1_SIZE];
    if (tpm12_random(seed, sizeof seed, failure) < 0)
        return -1;
    return rsa2048_encrypt_secret(key, &hash, "TCPA", 4, seed, secret, block, failure);
}

/* TPM_KEY_PARMS of a key that encrypts. */
static void owner_put_parameters(struct tpm_message *message)
{
    tpm_put(message, ALGORITHM_RSA, 4);
    tpm_put(message, SCHEME_OAEP, 2);
    tpm_put(message, SCHEME_NO_SIGNATURE, 2);
    tpm_put(message, 12, 4); /* bytes that follow */
    tpm_put(message, KEY_BITS, 4);
    tpm_put(message, 2, 4); /* primes */
    tpm_put(message, 0, 4); /* the usual exponent */
}

static int owner_put_nonce(struct tpm_message *message, struct failure *failure)
{
    unsigned char nonce[SHA1_SIZE];
    if (tpm12_random(nonce, sizeof nonce, failure) < 0)
        return -1;
    tpm_put_bytes(message, nonce, sizeof nonce);
    return 0;
}

/* A TPM_PUBKEY: its modulus. */
static int owner_read_key(struct tpm_message *message, unsigned char key[KEY_SIZE],
                          struct failure *failure)
{
    uint32_t algorithm = tpm_get(message, 4);
    tpm_get(message, 4); /* schemes */
    uint32_t size = tpm_get(message, 4);
    uint32_t bits = tpm_get(message, 4);
    tpm_get(message, 4); /* primes */
    uint32_t exponent_size = tpm_get(message, 4);
    const unsigned char *exponent = tpm_get_bytes(message, exponent_size);
    bool is_usual = exponent_size == 0 ||
                    (exponent && exponent_size == 3 && memcmp(exponent, "\1\0\1", 3) == 0);
    uint32_t key_size = tpm_get(message, 4);
    const unsigned char *found = tpm_get_bytes(message, key_size);
    if (!found || algorithm != ALGORITHM_RSA || size != 12 + exponent_size || bits != KEY_BITS ||
        !is_usual || key_size != KEY_SIZE)
        return failed(failure,
                      "the TPM's endorsement key is not RSA of %d bits with the exponent %d",
                      KEY_BITS, EXPONENT);
    memcpy(key, found, KEY_SIZE);
    return 0;
}

static int owner_endorsement_key(int device, unsigned char key[KEY_SIZE], struct failure *failure)
{
    struct tpm_message message;
    tpm_begin(&message, TAG_COMMAND, ORD_READ_EK);
    if (owner_put_nonce(&message, failure) < 0)
        return -1;
    int status = tpm12_send(device, &message, "TPM_ReadPubek", failure);
    if (status < 0 && message.code == NO_ENDORSEMENT) {
        tpm_begin(&message, TAG_COMMAND, ORD_CREATE_EK);
        if (owner_put_nonce(&message, failure) < 0)
            return -1;
        owner_put_parameters(&message);
        status = tpm12_send(device, &message, "TPM_CreateEndorsementKeyPair", failure);
    }
    return status < 0 ? -1 : owner_read_key(&message, key, failure);
}

int owner_is_missing(int device, struct failure *failure)
{
    struct tpm_message message;
    tpm_begin(&message, TAG_COMMAND, ORD_GET_CAPABILITY);
    tpm_put(&message, CAPABILITY_PROPERTY, 4);
    tpm_put(&message, 4, 4);
    tpm_put(&message, PROPERTY_OWNER, 4);
    if (tpm12_send(device, &message, "TPM_GetCapability", failure) < 0)
        return -1;
    uint32_t size = tpm_get(&message, 4), owned = tpm_get(&message, 1);
    return message.bad || size != 1 ? failed(failure, "TPM_GetCapability: a short answer")
                                    : owned == 0;
}

/* TPM_TakeOwnership, without its authorization. */
static int owner_put_command(struct tpm_message *message, const unsigned char key[KEY_SIZE],
                             const unsigned char secret[SHA1_SIZE], struct failure *failure)
{
    static const unsigned char well_known[SHA1_SIZE];
    unsigned char block[KEY_SIZE];
    tpm_begin(message, TAG_ONE_SECRET, ORD_TAKE_OWNERSHIP);
    tpm_put(message, PROTOCOL_OWNER, 2);
    for (unsigned i = 0; i < 2; i++) {
        if (owner_encrypt(key, i == 0 ? secret : well_known, block, failure) < 0)
            return -1;
        tpm_put(message, KEY_SIZE, 4);
        tpm_put_bytes(message, block, KEY_SIZE);
    }
    tpm_put(message, 0x01010000, 4); /* the version of TPM_KEY */
    tpm_put(message, KEY_STORAGE, 2);
    tpm_put(message, 0, 4); /* flags */
    tpm_put(message, AUTH_ALWAYS, 1);
    owner_put_parameters(message);
    tpm_put(message, 0, 4); /* bound to no PCRs */
    tpm_put(message, 0, 4); /* the public key: the TPM makes it */
    tpm_put(message, 0, 4);
    return 0;
}

int owner_take(int device, struct failure *failure)
{
    enum { HEADER = 6 }; /* tag and size, which are not authorized */
    struct tpm_message message;
    struct tpm12_session session;
    unsigned char key[KEY_SIZE], secret[SHA1_SIZE], digest[SHA1_SIZE];
    if (owner_endorsement_key(device, key, failure) < 0 ||
        tpm12_random(secret, sizeof secret, failure) < 0 ||
        tpm12_start(device, secret, &session, failure) < 0)
        return -1;
    int status = owner_put_command(&message, key, secret, failure);
    if (status == 0) {
        sha1_digest(message.bytes + HEADER, message.size - HEADER, digest);
        status = tpm12_authorize(&message, &session, digest, failure);
    }
    if (status == 0)
        status = tpm12_send(device, &message, "TPM_TakeOwnership", failure);
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(&session, sizeof session);
    return status;
}
