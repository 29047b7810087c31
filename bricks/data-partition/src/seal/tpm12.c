/*
 * tpm12.c: see tpm12.h.
 *
 * Sources: TCG, "TPM Main", 1.2 revision 116: part 2, 8.1 (TPM_PCR_SELECTION), 8.2
 * (TPM_PCR_COMPOSITE), 8.4 (TPM_PCR_INFO_LONG); part 3, 10.1 (TPM_Seal), 10.2 (TPM_Unseal), 16.2
 * (TPM_PCRRead), 18.1 (TPM_OIAP), 18.2 (TPM_OSAP); part 1, 13 and 14 (authorization by HMAC, and
 * secrets of new entities).
 */
#include "seal/tpm12.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    TAG_COMMAND = 0xC1,
    TAG_ONE_SECRET = 0xC2,
    TAG_TWO_SECRETS = 0xC3,
    ORD_OIAP = 0x0A,
    ORD_OSAP = 0x0B,
    ORD_PCR_READ = 0x15,
    ORD_SEAL = 0x17,
    ORD_UNSEAL = 0x18,
    ENTITY_KEY = 1,
    STORAGE_ROOT_KEY = 0x40000000,
    PCR_INFO_LONG = 6,
    LOCALITIES = 0x1F, /* all five */
    SELECTION_SIZE = TPM12_DEVICES / 8
};

static const unsigned char tpm12_well_known[SHA1_SIZE];

/* Part 2, 16 (return codes): those that people can do something about. */
static const struct {
    uint32_t code;
    const char *words;
} tpm12_errors[] = {
    {0x01, "the secret, or the PIN, is not the right one"},
    {0x06, "the TPM is deactivated: activate it in the firmware's menu"},
    {0x07, "the TPM is disabled: enable it in the firmware's menu"},
    {0x12, "the TPM has no owner"},
    {0x18, "PCRs are not what they were when the key was sealed"},
    {0x1D, "the secret, or the PIN, is not the right one"},
    {0x21, "this is another TPM, or it was cleared"},
    {0x23, "the TPM has no endorsement key"},
    {0x803, "too many wrong PINs: the TPM refuses all for a while"},
};

int tpm12_send(int device, struct tpm_message *command, const char *what, struct failure *failure)
{
    if (tpm_send(device, command, what, failure) == 0)
        return 0;
    for (size_t i = 0; i < sizeof tpm12_errors / sizeof *tpm12_errors; i++)
        if (command->code == tpm12_errors[i].code)
            return failed(failure, "%s", tpm12_errors[i].words);
    return -1;
}

int tpm12_random(void *bytes, size_t size, struct failure *failure)
{
    return getrandom(bytes, size, 0) == (ssize_t)size ? 0 : failed_errno(failure, "getrandom");
}

int tpm12_pcr(int device, unsigned pcr, unsigned char value[SHA1_SIZE], struct failure *failure)
{
    struct tpm_message message;
    tpm_begin(&message, TAG_COMMAND, ORD_PCR_READ);
    tpm_put(&message, pcr, 4);
    if (tpm12_send(device, &message, "TPM_PCRRead", failure) < 0)
        return -1;
    const unsigned char *found = tpm_get_bytes(&message, SHA1_SIZE);
    if (!found)
        return failed(failure, "TPM_PCRRead: a short answer");
    memcpy(value, found, SHA1_SIZE);
    return 0;
}

int tpm12_pcrs(const char *list, uint32_t *pcrs, struct failure *failure)
{
    *pcrs = 0;
    for (const char *at = list;; at++) {
        char *end;
        errno = 0;
        unsigned long pcr = strtoul(at, &end, 10);
        if (end == at || errno || pcr >= TPM12_DEVICES || (*end && *end != '+'))
            return failed(failure, "-pcrs %s: not a list of PCRs", list);
        *pcrs |= 1U << pcr;
        at = end;
        if (!*at)
            return 0;
    }
}

static void tpm12_put_selection(struct tpm_message *message, uint32_t pcrs)
{
    tpm_put(message, SELECTION_SIZE, 2);
    for (unsigned i = 0; i < SELECTION_SIZE; i++)
        tpm_put(message, pcrs >> 8 * i & 0xFF, 1);
}

/* The hash of the chosen PCRs as they are now (TPM_PCR_COMPOSITE). */
static int tpm12_composite(int device, uint32_t pcrs, unsigned char digest[SHA1_SIZE],
                           struct failure *failure)
{
    struct tpm_message values = {0};
    unsigned char value[SHA1_SIZE];
    tpm12_put_selection(&values, pcrs);
    tpm_put(&values, SHA1_SIZE * (uint32_t)__builtin_popcount(pcrs), 4);
    for (unsigned pcr = 0; pcr < TPM12_DEVICES; pcr++) {
        if (!(pcrs >> pcr & 1))
            continue;
        if (tpm12_pcr(device, pcr, value, failure) < 0)
            return -1;
        tpm_put_bytes(&values, value, SHA1_SIZE);
    }
    sha1_digest(values.bytes, values.size, digest);
    return 0;
}

static int tpm12_read_session(struct tpm_message *message, struct tpm12_session *session,
                              struct failure *failure)
{
    session->handle = tpm_get(message, 4);
    const unsigned char *nonce = tpm_get_bytes(message, SHA1_SIZE);
    if (!nonce)
        return failed(failure, "a session with the TPM: a short answer");
    memcpy(session->nonce, nonce, SHA1_SIZE);
    return 0;
}

int tpm12_start(int device, const unsigned char secret[SHA1_SIZE], struct tpm12_session *session,
                struct failure *failure)
{
    struct tpm_message message;
    memcpy(session->secret, secret, SHA1_SIZE);
    tpm_begin(&message, TAG_COMMAND, ORD_OIAP);
    if (tpm12_send(device, &message, "TPM_OIAP", failure) < 0)
        return -1;
    return tpm12_read_session(&message, session, failure);
}

/* A session for the storage root key (OSAP), in which a new secret can be handed over. */
static int tpm12_start_for_key(int device, struct tpm12_session *session, struct failure *failure)
{
    struct tpm_message message;
    unsigned char ours[SHA1_SIZE];
    if (tpm12_random(ours, sizeof ours, failure) < 0)
        return -1;
    tpm_begin(&message, TAG_COMMAND, ORD_OSAP);
    tpm_put(&message, ENTITY_KEY, 2);
    tpm_put(&message, STORAGE_ROOT_KEY, 4);
    tpm_put_bytes(&message, ours, sizeof ours);
    if (tpm12_send(device, &message, "TPM_OSAP", failure) < 0 ||
        tpm12_read_session(&message, session, failure) < 0)
        return -1;
    const unsigned char *theirs = tpm_get_bytes(&message, SHA1_SIZE);
    if (!theirs)
        return failed(failure, "TPM_OSAP: a short answer");
    sha1_hmac(tpm12_well_known, theirs, SHA1_SIZE, ours, SHA1_SIZE, session->secret);
    return 0;
}

int tpm12_authorize(struct tpm_message *command, const struct tpm12_session *session,
                    const unsigned char parameters[SHA1_SIZE], struct failure *failure)
{
    enum { ENDS_SESSION = 0 };
    unsigned char rest[2 * SHA1_SIZE + 1], code[SHA1_SIZE];
    memcpy(rest, session->nonce, SHA1_SIZE);
    if (tpm12_random(rest + SHA1_SIZE, SHA1_SIZE, failure) < 0)
        return -1;
    rest[2 * SHA1_SIZE] = ENDS_SESSION;
    sha1_hmac(session->secret, parameters, SHA1_SIZE, rest, sizeof rest, code);
    tpm_put(command, session->handle, 4);
    tpm_put_bytes(command, rest + SHA1_SIZE, SHA1_SIZE);
    tpm_put(command, ENDS_SESSION, 1);
    tpm_put_bytes(command, code, SHA1_SIZE);
    return 0;
}

/* TPM_PCR_INFO_LONG: any locality may unseal. */
static void tpm12_put_pcr_info(struct tpm_message *message, uint32_t pcrs,
                               const unsigned char digest[SHA1_SIZE])
{
    tpm_put(message, PCR_INFO_LONG, 2);
    tpm_put(message, 1, 1); /* locality 0 seals */
    tpm_put(message, LOCALITIES, 1);
    tpm12_put_selection(message, pcrs);
    tpm12_put_selection(message, pcrs);
    tpm_put_bytes(message, digest, SHA1_SIZE);
    tpm_put_bytes(message, digest, SHA1_SIZE);
}

/* What TPM_Seal is given, behind the handle of the key. */
static void tpm12_put_seal(struct tpm_message *message, const struct tpm12_session *session,
                           const unsigned char password[SHA1_SIZE], const struct tpm_message *info,
                           const unsigned char *secret, size_t size)
{
    unsigned char both[2 * SHA1_SIZE], pad[SHA1_SIZE];
    memcpy(both, session->secret, SHA1_SIZE);
    memcpy(both + SHA1_SIZE, session->nonce, SHA1_SIZE);
    sha1_digest(both, sizeof both, pad);
    for (unsigned i = 0; i < SHA1_SIZE; i++)
        pad[i] ^= password[i];
    tpm_put_bytes(message, pad, sizeof pad);
    tpm_put(message, (uint32_t)info->size, 4);
    tpm_put_bytes(message, info->bytes, info->size);
    tpm_put(message, (uint32_t)size, 4);
    tpm_put_bytes(message, secret, size);
}

/* The digest of a command's number and of its parameters behind the first `skipped` bytes. */
static void tpm12_digest(const struct tpm_message *message, uint32_t ordinal, size_t skipped,
                         unsigned char digest[SHA1_SIZE])
{
    struct tpm_message head = {0};
    struct sha1 hash;
    tpm_put(&head, ordinal, 4);
    sha1_begin(&hash);
    sha1_add(&hash, head.bytes, head.size);
    sha1_add(&hash, message->bytes + skipped, message->size - skipped);
    sha1_end(&hash, digest);
}

int tpm12_seal(int device, uint32_t pcrs, const unsigned char password[SHA1_SIZE],
               const unsigned char *secret, size_t size, struct tpm12_blob *blob,
               struct failure *failure)
{
    struct tpm_message message, info = {0};
    struct tpm12_session session;
    unsigned char digest[SHA1_SIZE];
    if (tpm12_composite(device, pcrs, digest, failure) < 0 ||
        tpm12_start_for_key(device, &session, failure) < 0)
        return -1;
    tpm12_put_pcr_info(&info, pcrs, digest);
    tpm_begin(&message, TAG_ONE_SECRET, ORD_SEAL);
    tpm_put(&message, STORAGE_ROOT_KEY, 4);
    size_t parameters = message.size;
    tpm12_put_seal(&message, &session, password, &info, secret, size);
    tpm12_digest(&message, ORD_SEAL, parameters, digest);
    int status = tpm12_authorize(&message, &session, digest, failure);
    if (status == 0)
        status = tpm12_send(device, &message, "TPM_Seal", failure);
    /* The answer ends with the session's part: a nonce, a flag and a code. */
    const size_t end = SHA1_SIZE + 1 + SHA1_SIZE;
    if (status == 0 &&
        (message.size < message.at + end || message.size - message.at - end > sizeof blob->bytes))
        status = failed(failure, "TPM_Seal: an answer of %zu bytes", message.size);
    if (status == 0) {
        blob->size = message.size - message.at - end;
        memcpy(blob->bytes, tpm_get_bytes(&message, blob->size), blob->size);
    }
    explicit_bzero(&message, sizeof message);
    return status;
}

int tpm12_unseal(int device, const struct tpm12_blob *blob, const unsigned char password[SHA1_SIZE],
                 unsigned char secret[TPM12_MOST_SECRET], struct failure *failure)
{
    struct tpm_message message;
    struct tpm12_session key, data;
    unsigned char digest[SHA1_SIZE];
    if (tpm12_start(device, tpm12_well_known, &key, failure) < 0 ||
        tpm12_start(device, password, &data, failure) < 0)
        return -1;
    tpm_begin(&message, TAG_TWO_SECRETS, ORD_UNSEAL);
    tpm_put(&message, STORAGE_ROOT_KEY, 4);
    size_t parameters = message.size;
    tpm_put_bytes(&message, blob->bytes, blob->size);
    tpm12_digest(&message, ORD_UNSEAL, parameters, digest);
    int status = tpm12_authorize(&message, &key, digest, failure);
    if (status == 0)
        status = tpm12_authorize(&message, &data, digest, failure);
    if (status == 0)
        status = tpm12_send(device, &message, "TPM_Unseal", failure);
    if (status == 0) {
        size_t size = tpm_get(&message, 4);
        const unsigned char *found = tpm_get_bytes(&message, size);
        if (!found || size > TPM12_MOST_SECRET)
            status = failed(failure, "TPM_Unseal: an answer of %zu bytes", message.size);
        else {
            memcpy(secret, found, size);
            status = (int)size;
        }
    }
    explicit_bzero(&message, sizeof message);
    return status;
}
