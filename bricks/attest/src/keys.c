/*
 * keys.c: see keys.h.
 *
 * Sources: TCG, "TPM 2.0 Library", part 2 (TPMT_PUBLIC), part 3, 12.5 (TPM2_ActivateCredential),
 * 23.4 (TPM2_PolicySecret), 24.1 (TPM2_CreatePrimary), 31 (NV memory); TCG, "EK Credential
 * Profile", 2.2.1.4 and 2.2.1.5 (indexes of the certificates), B.3.3 and B.3.4 (templates L-1 and
 * L-2).
 */
#include "keys.h"

#include <string.h>

enum {
    TPM_CC_CREATE_PRIMARY = 0x131,
    TPM_CC_ACTIVATE_CREDENTIAL = 0x147,
    TPM_CC_NV_READ = 0x14E,
    TPM_CC_POLICY_SECRET = 0x151,
    TPM_CC_NV_READ_PUBLIC = 0x169,
    TPM_CC_START_AUTH_SESSION = 0x176,
    TPM_RH_NULL = 0x40000007,
    TPM_RH_ENDORSEMENT = 0x4000000B,
    TPM_ALG_RSA = 0x0001,
    TPM_ALG_AES = 0x0006,
    TPM_ALG_SHA256 = 0x000B,
    TPM_ALG_NULL = 0x0010,
    TPM_ALG_ECDSA = 0x0018,
    TPM_ALG_ECC = 0x0023,
    TPM_ALG_CFB = 0x0043,
    TPM_ECC_NIST_P256 = 0x0003,
    TPM_SE_POLICY = 1,
    /* fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign */
    ATTESTATION_ATTRIBUTES = 0x00050472,
    /* fixedTPM, fixedParent, sensitiveDataOrigin, adminWithPolicy, restricted, decrypt */
    ENDORSEMENT_ATTRIBUTES = 0x000300B2,
    RSA_BITS = 2048,
    AES_BITS = 128,
    RSA_CERTIFICATE = 0x01C00002,
    ECC_CERTIFICATE = 0x01C0000A,
    PASSWORD_SIZE = 9,
    SESSION_SIZE = 9,
    NONCE_SIZE = 16,
    NV_CHUNK = 512,
    COORDINATE_SIZE = 32
};

/* TPM2_PolicySecret of the endorsement hierarchy (PolicyA). */
static const unsigned char endorsement_policy[32] = {
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xB3, 0xF8, 0x1A, 0x90, 0xCC, 0x8D, 0x46, 0xA5, 0xD7, 0x24,
    0xFD, 0x52, 0xD7, 0x6E, 0x06, 0x52, 0x0B, 0x64, 0xF2, 0xA1, 0xDA, 0x1B, 0x33, 0x14, 0x69, 0xAA};

static void keys_put_attestation(struct tpm_message *area)
{
    tpm_put(area, TPM_ALG_ECC, 2);
    tpm_put(area, TPM_ALG_SHA256, 2);
    tpm_put(area, ATTESTATION_ATTRIBUTES, 4);
    tpm_put(area, 0, 2); /* no policy */
    tpm_put(area, TPM_ALG_NULL, 2);
    tpm_put(area, TPM_ALG_ECDSA, 2);
    tpm_put(area, TPM_ALG_SHA256, 2);
    tpm_put(area, TPM_ECC_NIST_P256, 2);
    tpm_put(area, TPM_ALG_NULL, 2); /* no key derivation */
    tpm_put(area, 0, 2);
    tpm_put(area, 0, 2); /* an empty point */
}

/* `kind`: RSA or ECC. */
static void keys_put_endorsement(struct tpm_message *area, uint32_t kind)
{
    static const unsigned char zeros[RSA_BITS / 8];
    tpm_put(area, kind, 2);
    tpm_put(area, TPM_ALG_SHA256, 2);
    tpm_put(area, ENDORSEMENT_ATTRIBUTES, 4);
    tpm_put_sized(area, endorsement_policy, sizeof endorsement_policy);
    tpm_put(area, TPM_ALG_AES, 2);
    tpm_put(area, AES_BITS, 2);
    tpm_put(area, TPM_ALG_CFB, 2);
    tpm_put(area, TPM_ALG_NULL, 2); /* no scheme */
    if (kind == TPM_ALG_RSA) {
        tpm_put(area, RSA_BITS, 2);
        tpm_put(area, 0, 4); /* the usual exponent */
        tpm_put_sized(area, zeros, sizeof zeros);
        return;
    }
    tpm_put(area, TPM_ECC_NIST_P256, 2);
    tpm_put(area, TPM_ALG_NULL, 2); /* no key derivation */
    tpm_put_sized(area, zeros, COORDINATE_SIZE);
    tpm_put_sized(area, zeros, COORDINATE_SIZE);
}

/* How long a certificate is; 0 without one. */
static size_t keys_certificate_size(int device, uint32_t index)
{
    struct tpm_message message;
    struct failure none;
    const unsigned char *policy;
    tpm_begin(&message, TPM_ST_NO_SESSIONS, TPM_CC_NV_READ_PUBLIC);
    tpm_put(&message, index, 4);
    if (tpm_send(device, &message, "certificate", &none) < 0)
        return 0;
    tpm_get_bytes(&message, 2 + 4 + 2 + 4); /* size, index, algorithm, attributes */
    tpm_get_sized(&message, &policy);
    size_t size = tpm_get(&message, 2);
    return message.bad ? 0 : size;
}

/* The key that the TPM's maker has certified; RSA if both or none. */
static bool keys_is_rsa(int device)
{
    return keys_certificate_size(device, RSA_CERTIFICATE) > 0 ||
           keys_certificate_size(device, ECC_CERTIFICATE) == 0;
}

int keys_load(int device, enum key which, struct loaded_key *key, struct failure *failure)
{
    struct tpm_message message, area = {0};
    const unsigned char *bytes;
    if (which == KEY_ATTESTATION)
        keys_put_attestation(&area);
    else
        keys_put_endorsement(&area, keys_is_rsa(device) ? TPM_ALG_RSA : TPM_ALG_ECC);
    tpm_begin(&message, TPM_ST_SESSIONS, TPM_CC_CREATE_PRIMARY);
    tpm_put(&message, TPM_RH_ENDORSEMENT, 4);
    tpm_put(&message, PASSWORD_SIZE, 4);
    tpm_put_password(&message);
    tpm_put(&message, 4, 2); /* no password of its own, no data */
    tpm_put(&message, 0, 4);
    tpm_put_sized(&message, area.bytes, area.size);
    tpm_put(&message, 0, 2); /* no data from outside */
    tpm_put(&message, 0, 4); /* no PCRs */
    if (tpm_send(device, &message, "making a key", failure) < 0)
        return -1;
    key->handle = tpm_get(&message, 4);
    tpm_get(&message, 4);
    key->public_size = tpm_get_sized(&message, &bytes);
    if (message.bad || key->public_size > sizeof key->public_area)
        return failed(failure, "making a key: an answer that is cut off");
    memcpy(key->public_area, bytes, key->public_size);
    return 0;
}

/* A session that may use the endorsement key. */
static int keys_start_session(int device, uint32_t *session, struct failure *failure)
{
    static const unsigned char nonce[NONCE_SIZE];
    struct tpm_message message;
    tpm_begin(&message, TPM_ST_NO_SESSIONS, TPM_CC_START_AUTH_SESSION);
    tpm_put(&message, TPM_RH_NULL, 4);
    tpm_put(&message, TPM_RH_NULL, 4);
    /* Nothing is encrypted or signed by it: what it is for is no secret. */
    tpm_put_sized(&message, nonce, sizeof nonce);
    tpm_put(&message, 0, 2);
    tpm_put(&message, TPM_SE_POLICY, 1);
    tpm_put(&message, TPM_ALG_NULL, 2);
    tpm_put(&message, TPM_ALG_SHA256, 2);
    if (tpm_send(device, &message, "a session", failure) < 0)
        return -1;
    *session = tpm_get(&message, 4);
    tpm_begin(&message, TPM_ST_SESSIONS, TPM_CC_POLICY_SECRET);
    tpm_put(&message, TPM_RH_ENDORSEMENT, 4);
    tpm_put(&message, *session, 4);
    tpm_put(&message, PASSWORD_SIZE, 4);
    tpm_put_password(&message);
    tpm_put(&message, 0, 2); /* nonce, parameters, reference, expiration: none */
    tpm_put(&message, 0, 2);
    tpm_put(&message, 0, 2);
    tpm_put(&message, 0, 4);
    if (tpm_send(device, &message, "the endorsement key's policy", failure) == 0)
        return 0;
    tpm_flush(device, *session);
    return -1;
}

/* What is to be activated, by loaded keys and a session, which ends with it. */
static int keys_activate_by(int device, struct tpm_message *message, unsigned char secret[64],
                            struct failure *failure)
{
    const unsigned char *bytes;
    if (tpm_send(device, message, "activating a credential", failure) < 0)
        return -1;
    tpm_get(message, 4);
    size_t size = tpm_get_sized(message, &bytes);
    if (message->bad || size > 64)
        return failed(failure, "activating a credential: an answer that is cut off");
    memcpy(secret, bytes, size);
    return (int)size;
}

int keys_activate(int device, const struct tpm_message *credential,
                  const struct tpm_message *encrypted, unsigned char secret[64],
                  struct failure *failure)
{
    struct loaded_key attestation, endorsement;
    struct tpm_message message;
    uint32_t session;
    int size = -1;
    if (keys_load(device, KEY_ATTESTATION, &attestation, failure) < 0)
        return -1;
    if (keys_load(device, KEY_ENDORSEMENT, &endorsement, failure) < 0)
        goto drop_attestation;
    if (keys_start_session(device, &session, failure) < 0)
        goto drop_endorsement;
    tpm_begin(&message, TPM_ST_SESSIONS, TPM_CC_ACTIVATE_CREDENTIAL);
    tpm_put(&message, attestation.handle, 4);
    tpm_put(&message, endorsement.handle, 4);
    tpm_put(&message, PASSWORD_SIZE + SESSION_SIZE, 4);
    tpm_put_password(&message);
    tpm_put(&message, session, 4);
    tpm_put(&message, 0, 2); /* nonce, attributes, authorization */
    tpm_put(&message, 0, 1);
    tpm_put(&message, 0, 2);
    tpm_put_sized(&message, credential->bytes, credential->size);
    tpm_put_sized(&message, encrypted->bytes, encrypted->size);
    size = keys_activate_by(device, &message, secret, failure);
    if (size < 0)
        tpm_flush(device, session);
drop_endorsement:
    tpm_flush(device, endorsement.handle);
drop_attestation:
    tpm_flush(device, attestation.handle);
    return size;
}

int keys_certificate(int device, unsigned char *bytes, size_t room, struct failure *failure)
{
    struct tpm_message message;
    const unsigned char *part;
    uint32_t index = keys_is_rsa(device) ? RSA_CERTIFICATE : ECC_CERTIFICATE;
    size_t size = keys_certificate_size(device, index), done = 0;
    if (size > room)
        return failed(failure, "the endorsement certificate has %zu bytes", size);
    while (done < size) {
        size_t length = size - done < NV_CHUNK ? size - done : NV_CHUNK;
        tpm_begin(&message, TPM_ST_SESSIONS, TPM_CC_NV_READ);
        tpm_put(&message, index, 4);
        tpm_put(&message, index, 4);
        tpm_put(&message, PASSWORD_SIZE, 4);
        tpm_put_password(&message);
        tpm_put(&message, (uint32_t)length, 2);
        tpm_put(&message, (uint32_t)done, 2);
        if (tpm_send(device, &message, "the endorsement certificate", failure) < 0)
            return -1;
        tpm_get(&message, 4);
        if (tpm_get_sized(&message, &part) != length)
            return failed(failure, "the endorsement certificate is cut off");
        memcpy(bytes + done, part, length);
        done += length;
    }
    return (int)size;
}
