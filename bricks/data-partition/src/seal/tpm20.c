/*
 * tpm20.c: see tpm20.h.
 *
 * Sources: TCG, "TPM 2.0 Library": part 2, 10.6 (selections of PCRs), 12.2 (public areas); part 3,
 * 12.1 to 12.7 (objects), 20.1 (TPM2_VerifySignature), 22.4 (TPM2_PCR_Read), 23.7, 23.16, 23.17
 * (policies by PCRs, signatures and passwords), 24.1 (TPM2_CreatePrimary), 28.5
 * (TPM2_EvictControl); part 1, 16 (names); "TPM v2.0 Provisioning Guidance", 7.5.1 (the storage
 * root key). systemd, src/shared/tpm2-util.c (what of all that its tokens mean).
 */
#include "seal/tpm20.h"

#include <stdlib.h>
#include <string.h>

enum {
    EVICT_CONTROL = 0x120,
    CREATE_PRIMARY = 0x131,
    CREATE = 0x153,
    LOAD = 0x157,
    UNSEAL = 0x15E,
    LOAD_EXTERNAL = 0x167,
    POLICY_AUTHORIZE = 0x16A,
    POLICY_AUTH_VALUE = 0x16B,
    READ_PUBLIC = 0x173,
    VERIFY_SIGNATURE = 0x177,
    PCR_READ = 0x17E,
    POLICY_PCR = 0x17F,
    RH_OWNER = 0x40000001,
    ROOT_HANDLE = 0x81000001,
    ALG_RSA = 0x01,
    ALG_AES = 0x06,
    ALG_KEYED_HASH = 0x08,
    ALG_SHA256 = 0x0B,
    ALG_NULL = 0x10,
    ALG_RSASSA = 0x14,
    ALG_ECC = 0x23,
    ALG_CFB = 0x43,
    CURVE_P256 = 3,
    /* Part 2, 8.3: fixedTPM, fixedParent; no lockout by wrong passwords. */
    FIXED = 0x12,
    NO_LOCKOUT = 0x400,
    /* fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, decrypt */
    ROOT_ATTRIBUTES = 0x30472,
    /* userWithAuth, decrypt, sign */
    SIGNER_ATTRIBUTES = 0x60040,
    PCRS = 24,
    KEY_BITS = 2048,
    EXPONENT = 65537
};

/* Part 2, 6.6 (return codes), of the first session or handle where one is meant. */
static const struct {
    uint32_t code;
    const char *words;
} tpm20_errors[] = {
    {0x99D, "PCRs are not what they were when the key was sealed"},
    {0x98E, "the PIN is not the right one"},
    {0x921, "too many wrong PINs: the TPM refuses all for a while"},
    {0x1DF, "this is another TPM, or it was cleared"},
    {0x2DB, "what the system brings is not signed by its key"},
};

static int tpm20_explain(int status, uint32_t code, struct failure *failure)
{
    for (size_t i = 0; status < 0 && i < sizeof tpm20_errors / sizeof *tpm20_errors; i++)
        if (code == tpm20_errors[i].code)
            return failed(failure, "%s", tpm20_errors[i].words);
    return status;
}

static int tpm20_send(int device, struct tpm_message *message, const char *what,
                      struct failure *failure)
{
    int status = tpm_send(device, message, what, failure);
    return tpm20_explain(status, message->code, failure);
}

/* By an empty password. */
static void tpm20_begin(struct tpm_message *message, uint32_t command, uint32_t handle)
{
    tpm_begin(message, TPM_ST_SESSIONS, command);
    tpm_put(message, handle, 4);
    tpm_put(message, 9, 4);
    tpm_put_password(message);
}

/* Of a public area, without the length in front of it. */
static void tpm20_name(const unsigned char *area, size_t size,
                       unsigned char name[SESSION_NAME_SIZE])
{
    struct sha256 hash;
    name[0] = ALG_SHA256 >> 8;
    name[1] = ALG_SHA256 & 0xFF;
    sha256_begin(&hash);
    sha256_add(&hash, area, size);
    sha256_end(&hash, name + 2);
}

static bool tpm20_read_key(const unsigned char *area, size_t size, struct session_key *key)
{
    struct tpm_message public = {0};
    const unsigned char *x, *y;
    tpm_put_bytes(&public, area, size);
    uint32_t type = tpm_get(&public, 2);
    uint32_t hash = tpm_get(&public, 2);
    uint32_t attributes = tpm_get(&public, 4);
    tpm_get_sized(&public, &x); /* its policy */
    uint32_t cipher = tpm_get(&public, 2), bits = tpm_get(&public, 2), mode = tpm_get(&public, 2);
    uint32_t scheme = tpm_get(&public, 2);
    if (hash != ALG_SHA256 || (attributes & ROOT_ATTRIBUTES) != ROOT_ATTRIBUTES ||
        cipher != ALG_AES || bits == 0 || mode != ALG_CFB || scheme != ALG_NULL)
        return false;
    key->is_rsa = type == ALG_RSA;
    if (key->is_rsa) {
        uint32_t size_of_key = tpm_get(&public, 2), exponent = tpm_get(&public, 4);
        if (size_of_key != KEY_BITS || exponent != 0 ||
            tpm_get_sized(&public, &x) != SESSION_KEY_SIZE)
            return false;
        memcpy(key->number, x, SESSION_KEY_SIZE);
        return true;
    }
    uint32_t curve = tpm_get(&public, 2), derivation = tpm_get(&public, 2);
    if (type != ALG_ECC || curve != CURVE_P256 || derivation != ALG_NULL ||
        tpm_get_sized(&public, &x) != SHA256_SIZE || tpm_get_sized(&public, &y) != SHA256_SIZE)
        return false;
    memcpy(key->number, x, SHA256_SIZE);
    memcpy(key->number + SHA256_SIZE, y, SHA256_SIZE);
    return true;
}

static void tpm20_put_root(struct tpm_message *area)
{
    tpm_put(area, ALG_ECC, 2);
    tpm_put(area, ALG_SHA256, 2);
    tpm_put(area, ROOT_ATTRIBUTES, 4);
    tpm_put(area, 0, 2); /* no policy */
    tpm_put(area, ALG_AES, 2);
    tpm_put(area, 128, 2);
    tpm_put(area, ALG_CFB, 2);
    tpm_put(area, ALG_NULL, 2); /* scheme */
    tpm_put(area, CURVE_P256, 2);
    tpm_put(area, ALG_NULL, 2); /* derivation */
    tpm_put(area, 0, 2);        /* x */
    tpm_put(area, 0, 2);        /* y */
}

/* A new one, which stays in the TPM. */
static int tpm20_make_root(int device, struct failure *failure)
{
    struct tpm_message message, area = {0};
    tpm20_put_root(&area);
    tpm20_begin(&message, CREATE_PRIMARY, RH_OWNER);
    tpm_put(&message, 4, 2); /* neither password nor data */
    tpm_put(&message, 0, 4);
    tpm_put_sized(&message, area.bytes, area.size);
    tpm_put(&message, 0, 2); /* nothing from outside */
    tpm_put(&message, 0, 4); /* no PCRs */
    if (tpm20_send(device, &message, "TPM2_CreatePrimary", failure) < 0)
        return -1;
    uint32_t handle = tpm_get(&message, 4);
    tpm_begin(&message, TPM_ST_SESSIONS, EVICT_CONTROL);
    tpm_put(&message, RH_OWNER, 4);
    tpm_put(&message, handle, 4);
    tpm_put(&message, 9, 4);
    tpm_put_password(&message);
    tpm_put(&message, ROOT_HANDLE, 4);
    int status = tpm20_send(device, &message, "TPM2_EvictControl", failure);
    tpm_flush(device, handle);
    return status;
}

static int tpm20_ask_root(int device, struct tpm_message *message, struct failure *failure)
{
    tpm_begin(message, TPM_ST_NO_SESSIONS, READ_PUBLIC);
    tpm_put(message, ROOT_HANDLE, 4);
    return tpm20_send(device, message, "TPM2_ReadPublic", failure);
}

int tpm20_parent(int device, struct tpm20_parent *parent, struct failure *failure)
{
    struct tpm_message message;
    const unsigned char *area;
    if (tpm20_ask_root(device, &message, failure) < 0 &&
        (message.code == 0 || tpm20_make_root(device, failure) < 0 ||
         tpm20_ask_root(device, &message, failure) < 0))
        return -1;
    size_t size = tpm_get_sized(&message, &area);
    parent->key.handle = ROOT_HANDLE;
    if (size + 2 > sizeof parent->area || !tpm20_read_key(area, size, &parent->key))
        return failed(failure, "the TPM's storage root key is neither P-256 nor RSA of %d bits",
                      KEY_BITS);
    memcpy(parent->area, area - 2, size + 2);
    parent->area_size = size + 2;
    tpm20_name(area, size, parent->name);
    return 0;
}

int tpm20_signer(const unsigned char *modulus, size_t size, struct tpm20_signer *signer,
                 struct failure *failure)
{
    struct tpm_message area = {0}, whole = {0};
    if (size < KEY_BITS / 8 || size > TPM20_MOST_SIGNATURE)
        return failed(failure, "the system's PCR key has %zu bits", 8 * size);
    tpm_put(&area, ALG_RSA, 2);
    tpm_put(&area, ALG_SHA256, 2);
    tpm_put(&area, SIGNER_ATTRIBUTES, 4);
    tpm_put(&area, 0, 2);        /* no policy */
    tpm_put(&area, ALG_NULL, 2); /* cipher */
    tpm_put(&area, ALG_NULL, 2); /* scheme */
    tpm_put(&area, (uint32_t)(8 * size), 2);
    tpm_put(&area, EXPONENT, 4); /* as it is, not as the usual one (0): the name depends on it */
    tpm_put_sized(&area, modulus, size);
    tpm_put_sized(&whole, area.bytes, area.size);
    if (whole.bad || whole.size > sizeof signer->area)
        return failed(failure, "the system's PCR key has %zu bits", 8 * size);
    memcpy(signer->area, whole.bytes, whole.size);
    signer->area_size = whole.size;
    tpm20_name(area.bytes, area.size, signer->name);
    return 0;
}

/* TPML_PCR_SELECTION, of one bank. */
static void tpm20_put_selection(struct tpm_message *message, uint32_t pcrs)
{
    tpm_put(message, 1, 4);
    tpm_put(message, ALG_SHA256, 2);
    tpm_put(message, PCRS / 8, 1);
    for (unsigned i = 0; i < PCRS / 8; i++)
        tpm_put(message, pcrs >> 8 * i & 0xFF, 1);
}

/* The hash of their values; a PCR a call. */
static int tpm20_hash_pcrs(int device, uint32_t pcrs, unsigned char digest[SHA256_SIZE],
                           struct failure *failure)
{
    struct sha256 hash;
    sha256_begin(&hash);
    for (unsigned pcr = 0; pcr < PCRS; pcr++) {
        struct tpm_message message;
        const unsigned char *value;
        if (!(pcrs >> pcr & 1))
            continue;
        tpm_begin(&message, TPM_ST_NO_SESSIONS, PCR_READ);
        tpm20_put_selection(&message, 1U << pcr);
        if (tpm20_send(device, &message, "TPM2_PCR_Read", failure) < 0)
            return -1;
        tpm_get_bytes(&message, 4 + 4 + 2 + 1 + PCRS / 8); /* counter and selection */
        if (tpm_get(&message, 4) != 1 || tpm_get_sized(&message, &value) != SHA256_SIZE)
            return failed(failure, "the TPM has no PCRs with SHA-256");
        sha256_add(&hash, value, SHA256_SIZE);
    }
    sha256_end(&hash, digest);
    return 0;
}

/* digest = hash of digest, the command and what belongs to it. */
static void tpm20_extend(unsigned char digest[SHA256_SIZE], uint32_t command,
                         const struct tpm_message *more)
{
    struct tpm_message head = {0};
    struct sha256 hash;
    tpm_put(&head, command, 4);
    sha256_begin(&hash);
    sha256_add(&hash, digest, SHA256_SIZE);
    sha256_add(&hash, head.bytes, head.size);
    if (more)
        sha256_add(&hash, more->bytes, more->size);
    sha256_end(&hash, digest);
}

static int tpm20_extend_pcrs(int device, uint32_t pcrs, unsigned char digest[SHA256_SIZE],
                             struct failure *failure)
{
    struct tpm_message more = {0};
    unsigned char values[SHA256_SIZE];
    if (tpm20_hash_pcrs(device, pcrs, values, failure) < 0)
        return -1;
    tpm20_put_selection(&more, pcrs);
    tpm_put_bytes(&more, values, sizeof values);
    tpm20_extend(digest, POLICY_PCR, &more);
    return 0;
}

int tpm20_pcr_digest(int device, uint32_t pcrs, unsigned char digest[SHA256_SIZE],
                     struct failure *failure)
{
    memset(digest, 0, SHA256_SIZE);
    return tpm20_extend_pcrs(device, pcrs, digest, failure);
}

int tpm20_digest(int device, const struct tpm20_policy *policy, unsigned char digest[SHA256_SIZE],
                 struct failure *failure)
{
    memset(digest, 0, SHA256_SIZE);
    if (policy->signer) {
        struct tpm_message name = {0};
        struct sha256 hash;
        tpm_put_bytes(&name, policy->signer->name, SESSION_NAME_SIZE);
        tpm20_extend(digest, POLICY_AUTHORIZE, &name);
        /* Once more, with an empty reference. */
        sha256_begin(&hash);
        sha256_add(&hash, digest, SHA256_SIZE);
        sha256_end(&hash, digest);
    }
    if (policy->pcrs && tpm20_extend_pcrs(device, policy->pcrs, digest, failure) < 0)
        return -1;
    if (policy->password)
        tpm20_extend(digest, POLICY_AUTH_VALUE, NULL);
    return 0;
}

static void tpm20_put_sealed(struct tpm_message *area, const struct tpm20_policy *policy,
                             const unsigned char digest[SHA256_SIZE])
{
    tpm_put(area, ALG_KEYED_HASH, 2);
    tpm_put(area, ALG_SHA256, 2);
    tpm_put(area, policy->password ? FIXED : FIXED | NO_LOCKOUT, 4);
    tpm_put_sized(area, digest, SHA256_SIZE);
    tpm_put(area, ALG_NULL, 2); /* scheme */
    tpm_put(area, 0, 2);
}

/* What the TPM gives back: TPM2B_PRIVATE and TPM2B_PUBLIC, one behind the other. */
static int tpm20_read_blob(struct tpm_message *answer, struct tpm20_blob *blob,
                           struct failure *failure)
{
    const unsigned char *ignored;
    tpm_get_sized(answer, &ignored);
    tpm_get_sized(answer, &ignored);
    if (answer->bad || answer->at > sizeof blob->bytes)
        return failed(failure, "TPM2_Create: an answer of %zu bytes", answer->size);
    memcpy(blob->bytes, answer->bytes, answer->at);
    blob->size = answer->at;
    return 0;
}

int tpm20_seal(int device, const struct tpm20_parent *parent, const struct tpm20_policy *policy,
               const unsigned char digest[SHA256_SIZE], const unsigned char secret[TPM20_SECRET],
               struct tpm20_blob *blob, struct failure *failure)
{
    struct tpm_message area = {0}, sensitive = {0}, parameters = {0};
    struct session session;
    const struct session_command command = {.what = "TPM2_Create",
                                            .number = CREATE,
                                            .handle = parent->key.handle,
                                            .name = parent->name,
                                            .encrypts = SESSION_ENCRYPTS_COMMAND};
    tpm20_put_sealed(&area, policy, digest);
    tpm_put_sized(&sensitive, policy->password, policy->password ? SHA256_SIZE : 0);
    tpm_put_sized(&sensitive, secret, TPM20_SECRET);
    tpm_put_sized(&parameters, sensitive.bytes, sensitive.size);
    explicit_bzero(&sensitive, sizeof sensitive);
    tpm_put_sized(&parameters, area.bytes, area.size);
    tpm_put(&parameters, 0, 2); /* nothing from outside */
    tpm_put(&parameters, 0, 4); /* no PCRs */
    int status = session_start(device, &parent->key, SESSION_HMAC, &session, failure);
    if (status == 0)
        status = session_send(device, &session, &command, &parameters, failure);
    if (status == 0)
        status = tpm20_read_blob(&parameters, blob, failure);
    explicit_bzero(&parameters, sizeof parameters);
    return status;
}

static int tpm20_policy_pcrs(int device, uint32_t session, uint32_t pcrs, struct failure *failure)
{
    struct tpm_message message;
    tpm_begin(&message, TPM_ST_NO_SESSIONS, POLICY_PCR);
    tpm_put(&message, session, 4);
    tpm_put(&message, 0, 2); /* as they are */
    tpm20_put_selection(&message, pcrs);
    return tpm20_send(device, &message, "TPM2_PolicyPCR", failure);
}

/* The TPM's own word (a ticket) that the signature is the signer's; how many bytes, or -1. */
static int tpm20_verify(int device, const struct tpm20_policy *policy, unsigned char *ticket,
                        size_t most, struct failure *failure)
{
    struct tpm_message message;
    struct sha256 hash;
    unsigned char digest[SHA256_SIZE];
    tpm_begin(&message, TPM_ST_NO_SESSIONS, LOAD_EXTERNAL);
    tpm_put(&message, 0, 2); /* no private part */
    tpm_put_bytes(&message, policy->signer->area, policy->signer->area_size);
    tpm_put(&message, RH_OWNER, 4);
    if (tpm20_send(device, &message, "TPM2_LoadExternal", failure) < 0)
        return -1;
    uint32_t handle = tpm_get(&message, 4);
    sha256_begin(&hash);
    sha256_add(&hash, policy->signature->policy, SHA256_SIZE);
    sha256_end(&hash, digest);
    tpm_begin(&message, TPM_ST_NO_SESSIONS, VERIFY_SIGNATURE);
    tpm_put(&message, handle, 4);
    tpm_put_sized(&message, digest, sizeof digest);
    tpm_put(&message, ALG_RSASSA, 2);
    tpm_put(&message, ALG_SHA256, 2);
    tpm_put_sized(&message, policy->signature->bytes, policy->signature->size);
    int status = tpm20_send(device, &message, "TPM2_VerifySignature", failure);
    tpm_flush(device, handle);
    if (status < 0)
        return -1;
    size_t size = message.size - message.at;
    if (size > most)
        return failed(failure, "TPM2_VerifySignature: an answer of %zu bytes", message.size);
    memcpy(ticket, message.bytes + message.at, size);
    return (int)size;
}

static int tpm20_policy_signed(int device, uint32_t session, const struct tpm20_policy *policy,
                               struct failure *failure)
{
    struct tpm_message message;
    unsigned char ticket[128];
    if (!policy->signature)
        return failed(failure, "nothing is signed for these PCRs");
    if (tpm20_policy_pcrs(device, session, policy->signed_pcrs, failure) < 0)
        return -1;
    int size = tpm20_verify(device, policy, ticket, sizeof ticket, failure);
    if (size < 0)
        return -1;
    tpm_begin(&message, TPM_ST_NO_SESSIONS, POLICY_AUTHORIZE);
    tpm_put(&message, session, 4);
    tpm_put_sized(&message, policy->signature->policy, SHA256_SIZE);
    tpm_put(&message, 0, 2); /* no reference */
    tpm_put_sized(&message, policy->signer->name, SESSION_NAME_SIZE);
    tpm_put_bytes(&message, ticket, (size_t)size);
    return tpm20_send(device, &message, "TPM2_PolicyAuthorize", failure);
}

static int tpm20_policy_password(int device, uint32_t session, struct failure *failure)
{
    struct tpm_message message;
    tpm_begin(&message, TPM_ST_NO_SESSIONS, POLICY_AUTH_VALUE);
    tpm_put(&message, session, 4);
    return tpm20_send(device, &message, "TPM2_PolicyAuthValue", failure);
}

/* In the order of `tpm20_digest`. */
static int tpm20_satisfy(int device, uint32_t session, const struct tpm20_policy *policy,
                         struct failure *failure)
{
    if (policy->signer && tpm20_policy_signed(device, session, policy, failure) < 0)
        return -1;
    if (policy->pcrs && tpm20_policy_pcrs(device, session, policy->pcrs, failure) < 0)
        return -1;
    return policy->password ? tpm20_policy_password(device, session, failure) : 0;
}

static int tpm20_load(int device, const struct tpm20_parent *parent, const struct tpm20_blob *blob,
                      uint32_t *handle, unsigned char name[SESSION_NAME_SIZE],
                      struct failure *failure)
{
    struct tpm_message message, whole = {0};
    const unsigned char *private, *area;
    tpm_put_bytes(&whole, blob->bytes, blob->size);
    tpm_get_sized(&whole, &private);
    size_t size = tpm_get_sized(&whole, &area);
    if (whole.bad)
        return failed(failure, "what is sealed is damaged");
    tpm20_begin(&message, LOAD, parent->key.handle);
    tpm_put_bytes(&message, whole.bytes, whole.at);
    if (tpm20_send(device, &message, "TPM2_Load", failure) < 0)
        return -1;
    *handle = tpm_get(&message, 4);
    tpm20_name(area, size, name);
    return 0;
}

static int tpm20_unseal_loaded(int device, const struct tpm20_parent *parent,
                               const struct tpm20_policy *policy, uint32_t handle,
                               const unsigned char name[SESSION_NAME_SIZE],
                               unsigned char secret[TPM20_SECRET], struct failure *failure)
{
    struct tpm_message parameters = {0};
    struct session session;
    const unsigned char *found;
    const struct session_command command = {.what = "TPM2_Unseal",
                                            .number = UNSEAL,
                                            .handle = handle,
                                            .name = name,
                                            .secret = policy->password,
                                            .encrypts = SESSION_ENCRYPTS_ANSWER};
    if (session_start(device, &parent->key, SESSION_POLICY, &session, failure) < 0)
        return -1;
    if (tpm20_satisfy(device, session.handle, policy, failure) < 0) {
        tpm_flush(device, session.handle);
        return -1;
    }
    int status = session_send(device, &session, &command, &parameters, failure);
    status = tpm20_explain(status, parameters.code, failure);
    if (status == 0 && tpm_get_sized(&parameters, &found) != TPM20_SECRET)
        status = failed(failure, "what is sealed is no key of a volume");
    if (status == 0)
        memcpy(secret, found, TPM20_SECRET);
    explicit_bzero(&parameters, sizeof parameters);
    return status;
}

int tpm20_unseal(int device, const struct tpm20_parent *parent, const struct tpm20_policy *policy,
                 const struct tpm20_blob *blob, unsigned char secret[TPM20_SECRET],
                 struct failure *failure)
{
    uint32_t handle;
    unsigned char name[SESSION_NAME_SIZE];
    if (tpm20_load(device, parent, blob, &handle, name, failure) < 0)
        return -1;
    int status = tpm20_unseal_loaded(device, parent, policy, handle, name, secret, failure);
    tpm_flush(device, handle);
    return status;
}
