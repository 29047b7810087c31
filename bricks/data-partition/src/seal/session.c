/*
 * session.c: see session.h.
 *
 * Sources: TCG, "TPM 2.0 Library", part 1, 16.8 (hashes of commands and answers), 19.6 (sessions
 * and their codes), 21 (encryption of parameters), 11.4.10.3 (KDFe), B.4, B.10.2 and C.6 (salts);
 * part 3, 11.1 (TPM2_StartAuthSession).
 */
#include "seal/session.h"

#include "seal/aes128.h"
#include "seal/hmac256.h"
#include "seal/p256.h"

#include <string.h>
#include <sys/random.h>

enum {
    START_AUTH_SESSION = 0x176,
    RH_NULL = 0x40000007,
    ALG_AES = 0x06,
    ALG_SHA256 = 0x0B,
    ALG_CFB = 0x43,
    CODE_KEY_SIZE = 2 * SHA256_SIZE
};

static int session_random(unsigned char bytes[SHA256_SIZE], struct failure *failure)
{
    return getrandom(bytes, SHA256_SIZE, 0) == SHA256_SIZE ? 0 : failed_errno(failure, "getrandom");
}

/* KDFe: the salt from the shared x, by those of both keys. */
static void session_mix(const unsigned char shared[P256_SIZE], const unsigned char ours[P256_SIZE],
                        const unsigned char theirs[P256_SIZE], unsigned char salt[SHA256_SIZE])
{
    static const unsigned char count[] = {0, 0, 0, 1};
    struct sha256 hash;
    sha256_begin(&hash);
    sha256_add(&hash, count, sizeof count);
    sha256_add(&hash, shared, P256_SIZE);
    sha256_add(&hash, "SECRET", sizeof "SECRET");
    sha256_add(&hash, ours, P256_SIZE);
    sha256_add(&hash, theirs, P256_SIZE);
    sha256_end(&hash, salt);
}

static int session_put_point(struct tpm_message *message, const struct session_key *key,
                             unsigned char salt[SHA256_SIZE], struct failure *failure)
{
    unsigned char number[P256_SIZE];
    struct p256_point theirs, ours, shared;
    memcpy(&theirs, key->number, sizeof theirs);
    do
        if (session_random(number, failure) < 0)
            return -1;
    while (!p256_public(number, &ours));
    bool is_shared = p256_multiply(&theirs, number, &shared);
    explicit_bzero(number, sizeof number);
    if (!is_shared)
        return failed(failure, "the TPM's storage root key is no point of P-256");
    session_mix(shared.x, ours.x, theirs.x, salt);
    explicit_bzero(&shared, sizeof shared);
    tpm_put(message, 2 * (2 + P256_SIZE), 2);
    tpm_put_sized(message, ours.x, sizeof ours.x);
    tpm_put_sized(message, ours.y, sizeof ours.y);
    return 0;
}

int session_encrypt_salt(const unsigned char number[RSA2048_SIZE],
                         const unsigned char salt[SHA256_SIZE], unsigned char block[RSA2048_SIZE],
                         struct failure *failure)
{
    static const struct rsa2048_hash hash = {SHA256_SIZE, sha256_of};
    unsigned char seed[SHA256_SIZE];
    if (session_random(seed, failure) < 0)
        return -1;
    /* The label ends with a zero byte. */
    return rsa2048_encrypt_secret(number, &hash, "SECRET", sizeof "SECRET", seed, salt, block,
                                  failure);
}

static int session_put_salt(struct tpm_message *message, const struct session_key *key,
                            unsigned char salt[SHA256_SIZE], struct failure *failure)
{
    unsigned char block[RSA2048_SIZE];
    if (!key->is_rsa)
        return session_put_point(message, key, salt, failure);
    if (session_random(salt, failure) < 0 ||
        session_encrypt_salt(key->number, salt, block, failure) < 0)
        return -1;
    tpm_put_sized(message, block, sizeof block);
    return 0;
}

/* The next field, of SHA256_SIZE bytes; what else is there is no answer. */
static int session_get_nonce(struct tpm_message *message, unsigned char bytes[SHA256_SIZE],
                             const char *what, struct failure *failure)
{
    const unsigned char *found;
    if (tpm_get_sized(message, &found) != SHA256_SIZE)
        return failed(failure, "%s: not an answer of a TPM's", what);
    memcpy(bytes, found, SHA256_SIZE);
    return 0;
}

int session_start(int device, const struct session_key *key, uint8_t kind, struct session *session,
                  struct failure *failure)
{
    struct tpm_message message;
    unsigned char salt[SHA256_SIZE];
    if (session_random(session->ours, failure) < 0)
        return -1;
    tpm_begin(&message, TPM_ST_NO_SESSIONS, START_AUTH_SESSION);
    tpm_put(&message, key->handle, 4);
    tpm_put(&message, RH_NULL, 4); /* bound to nothing */
    tpm_put_sized(&message, session->ours, sizeof session->ours);
    if (session_put_salt(&message, key, salt, failure) < 0)
        return -1;
    tpm_put(&message, kind, 1);
    tpm_put(&message, ALG_AES, 2);
    tpm_put(&message, 8 * AES128_SIZE, 2);
    tpm_put(&message, ALG_CFB, 2);
    tpm_put(&message, ALG_SHA256, 2);
    int status = tpm_send(device, &message, "TPM2_StartAuthSession", failure);
    if (status == 0) {
        session->handle = tpm_get(&message, 4);
        status = session_get_nonce(&message, session->theirs, "TPM2_StartAuthSession", failure);
    }
    hmac256_derive(salt, sizeof salt, "ATH", session->theirs, session->ours, session->key);
    explicit_bzero(salt, sizeof salt);
    return status;
}

/* What codes and keys are made with: the session's key, and the password behind it, if any. */
static size_t session_secret(const struct session *session, const struct session_command *command,
                             unsigned char secret[CODE_KEY_SIZE])
{
    size_t size = SHA256_SIZE;
    memcpy(secret, session->key, SHA256_SIZE);
    if (!command->secret)
        return size;
    memcpy(secret + size, command->secret, SHA256_SIZE);
    size += SHA256_SIZE;
    /* Part 1, 19.6.4.3: zero bytes at the end of a password do not count. */
    while (size > SHA256_SIZE && secret[size - 1] == 0)
        size--;
    return size;
}

static void session_code(const struct session *session, const struct session_command *command,
                         const unsigned char digest[SHA256_SIZE], const unsigned char *newer,
                         const unsigned char *older, unsigned char attributes,
                         unsigned char code[SHA256_SIZE])
{
    unsigned char secret[CODE_KEY_SIZE];
    struct hmac256 keyed;
    hmac256_begin(&keyed, secret, session_secret(session, command, secret));
    hmac256_add(&keyed, digest, SHA256_SIZE);
    hmac256_add(&keyed, newer, SHA256_SIZE);
    hmac256_add(&keyed, older, SHA256_SIZE);
    hmac256_add(&keyed, &attributes, 1);
    hmac256_end(&keyed, code);
    explicit_bzero(secret, sizeof secret);
}

/* The first field of `parameters`, whose length stays as it is. */
static int session_crypt(const struct session *session, const struct session_command *command,
                         unsigned char *parameters, size_t size, const unsigned char *newer,
                         const unsigned char *older, bool encrypts)
{
    unsigned char secret[CODE_KEY_SIZE], derived[SHA256_SIZE];
    size_t length = size < 2 ? 0 : (size_t)parameters[0] << 8 | parameters[1];
    if (size < 2 || length > size - 2)
        return -1;
    hmac256_derive(secret, session_secret(session, command, secret), "CFB", newer, older, derived);
    (encrypts ? aes128_encrypt : aes128_decrypt)(derived, derived + AES128_SIZE, parameters + 2,
                                                 length);
    explicit_bzero(secret, sizeof secret);
    explicit_bzero(derived, sizeof derived);
    return 0;
}

static void session_put_command(struct session *session, const struct session_command *command,
                                const struct tpm_message *parameters, struct tpm_message *message)
{
    struct tpm_message head = {0};
    unsigned char digest[SHA256_SIZE], code[SHA256_SIZE];
    tpm_put(&head, command->number, 4);
    tpm_put_bytes(&head, command->name, SESSION_NAME_SIZE);
    sha256_of(head.bytes, head.size, parameters->bytes, parameters->size, digest);
    session_code(session, command, digest, session->ours, session->theirs, command->encrypts, code);
    tpm_begin(message, TPM_ST_SESSIONS, command->number);
    tpm_put(message, command->handle, 4);
    tpm_put(message, 4 + 2 + SHA256_SIZE + 1 + 2 + SHA256_SIZE, 4);
    tpm_put(message, session->handle, 4);
    tpm_put_sized(message, session->ours, SHA256_SIZE);
    tpm_put(message, command->encrypts, 1);
    tpm_put_sized(message, code, sizeof code);
    tpm_put_bytes(message, parameters->bytes, parameters->size);
}

/* Whether the answer is the TPM's; its parameters, decrypted. */
static int session_get_answer(struct session *session, const struct session_command *command,
                              struct tpm_message *message, struct tpm_message *parameters,
                              struct failure *failure)
{
    struct tpm_message head = {0};
    unsigned char digest[SHA256_SIZE], expected[SHA256_SIZE], code[SHA256_SIZE];
    size_t size = tpm_get(message, 4);
    const unsigned char *found = tpm_get_bytes(message, size);
    if (!found)
        return failed(failure, "%s: a short answer", command->what);
    *parameters = (struct tpm_message){0};
    tpm_put_bytes(parameters, found, size);
    tpm_put(&head, 0, 4);
    tpm_put(&head, command->number, 4);
    sha256_of(head.bytes, head.size, found, size, digest);
    if (session_get_nonce(message, session->theirs, command->what, failure) < 0)
        return -1;
    unsigned char attributes = (unsigned char)tpm_get(message, 1);
    if (session_get_nonce(message, code, command->what, failure) < 0)
        return -1;
    session_code(session, command, digest, session->theirs, session->ours, attributes, expected);
    if (memcmp(code, expected, sizeof code) != 0)
        return failed(failure, "%s: the answer is not the TPM's", command->what);
    if (command->encrypts & SESSION_ENCRYPTS_ANSWER &&
        session_crypt(session, command, parameters->bytes, parameters->size, session->theirs,
                      session->ours, false) < 0)
        return failed(failure, "%s: a short answer", command->what);
    return 0;
}

int session_send(int device, struct session *session, const struct session_command *command,
                 struct tpm_message *parameters, struct failure *failure)
{
    struct tpm_message message;
    if (session_random(session->ours, failure) < 0)
        return -1;
    if (command->encrypts & SESSION_ENCRYPTS_COMMAND &&
        session_crypt(session, command, parameters->bytes, parameters->size, session->ours,
                      session->theirs, true) < 0)
        return failed(failure, "%s: nothing to encrypt", command->what);
    session_put_command(session, command, parameters, &message);
    int status = tpm_send(device, &message, command->what, failure);
    parameters->code = message.code;
    if (status == 0)
        status = session_get_answer(session, command, &message, parameters, failure);
    else
        tpm_flush(device, session->handle);
    explicit_bzero(session->key, sizeof session->key);
    explicit_bzero(&message, sizeof message);
    return status;
}
