/* volume.c: see volume.h. */
#include "volume.h"

#include "disk/report.h"
#include "disk/tool.h"
#include "escrow.h"
#include "luks/header.h"
#include "seal/platform.h"
#include "seal/recovery.h"
#include "seal/sealed20.h"
#include "seal/signers.h"
#include "sealed12.h"
#include "token.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define KEY "/run/data-partition.key"
#define SIGNATURE "/run/systemd/tpm2-pcr-signature.json"
#define PUBLIC_KEY "/run/systemd/tpm2-pcr-public-key.pem"
#define RECOVERY_TOKEN "{\"type\":\"systemd-recovery\",\"keyslots\":[\"1\"]}"

enum { TPM_SLOT = 0, RECOVERY_SLOT = 1, TOOL_SECONDS = 300 };

/* What opens a slot. */
struct volume_key {
    unsigned char bytes[TPM12_MOST_SECRET];
    size_t size;
};

void volume_explain(const char *node, bool is_tpm12)
{
    char *token = token_read(node, TOKEN_PCRS);
    platform_explain("data-partition", token, is_tpm12);
    free(token);
}

bool volume_has_signature(void)
{
    return access(SIGNATURE, R_OK) == 0 && access(PUBLIC_KEY, R_OK) == 0;
}

/* Runs a program whose input is a secret, through a pipe, which holds all of it. */
static int volume_run_with(const char *const arguments[], const void *secret, size_t size,
                           struct failure *failure)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) < 0)
        return failed_errno(failure, "pipe2");
    int status = 0;
    if (write(pipes[1], secret, size) != (ssize_t)size)
        status = failed_errno(failure, "pipe");
    close(pipes[1]);
    if (status == 0)
        status = tool_run(arguments, pipes[0], TOOL_SECONDS, false, failure);
    close(pipes[0]);
    return status;
}

static int volume_record(const char *node, const char *pcrs, struct failure *failure)
{
    char token[PLATFORM_TOKEN];
    return platform_record(pcrs, true, token, failure) < 0
               ? -1
               : token_write(node, TOKEN_PCRS, token, failure);
}

/* Keys are random: deriving them slowly would protect nothing. */
static int volume_format(const char *node, const struct volume_key *key, struct failure *failure)
{
    const char *const arguments[] = {"cryptsetup",
                                     "luksFormat",
                                     "--batch-mode",
                                     "--type",
                                     "luks2",
                                     "--pbkdf",
                                     "pbkdf2",
                                     "--pbkdf-force-iterations",
                                     "1000",
                                     "--cipher",
                                     "aes-xts-plain64",
                                     "--key-size",
                                     "512",
                                     "--key-file",
                                     "-",
                                     node,
                                     NULL};
    return volume_run_with(arguments, key->bytes, key->size, failure);
}

/* One more slot; `secret` opens the volume. Two secrets are too many for a pipe. */
static int volume_add_slot(const char *node, int slot, const void *secret, size_t size,
                           const void *key, size_t key_size, struct failure *failure)
{
    char number[16];
    const char *const arguments[] = {"cryptsetup",
                                     "luksAddKey",
                                     "--batch-mode",
                                     "--key-slot",
                                     number,
                                     "--pbkdf",
                                     "pbkdf2",
                                     "--pbkdf-force-iterations",
                                     "1000",
                                     "--key-file",
                                     "-",
                                     node,
                                     KEY,
                                     NULL};
    snprintf(number, sizeof number, "%d", slot);
    int file = open(KEY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        return failed_errno(failure, KEY);
    int status = 0;
    if (write(file, key, key_size) != (ssize_t)key_size)
        status = failed_errno(failure, KEY);
    close(file);
    if (status == 0)
        status = volume_run_with(arguments, secret, size, failure);
    unlink(KEY);
    return status;
}

static int volume_remove_slot(const char *node, const char *slot, struct failure *failure)
{
    const char *const arguments[] = {"cryptsetup", "luksKillSlot", "--batch-mode",
                                     node,         slot,           NULL};
    return tool_run(arguments, -1, TOOL_SECONDS, false, failure);
}

static int volume_new_key(struct volume_key *key, struct failure *failure)
{
    key->size = sizeof key->bytes;
    if (getrandom(key->bytes, key->size, 0) != (ssize_t)key->size)
        return failed_errno(failure, "getrandom");
    return 0;
}

/* A new passphrase of that slot, and its token, to be freed. */
static char *volume_seal_new(const struct volume_policy *policy, const char *pin, int slot,
                             struct volume_key *key, struct failure *failure)
{
    char passphrase[SEALED20_PASSPHRASE];
    char *token =
        sealed20_make(SEALED20_DEVICE, policy->pcrs, policy->is_signed ? PUBLIC_KEY : NULL, pin,
                      slot, passphrase, failure);
    if (token) {
        key->size = strlen(passphrase);
        memcpy(key->bytes, passphrase, key->size);
    }
    explicit_bzero(passphrase, sizeof passphrase);
    return token;
}

static int volume_format_tpm12(const char *node, const struct volume_policy *policy,
                               const char *pin, struct volume_key *key, struct failure *failure)
{
    if (volume_new_key(key, failure) < 0 || volume_format(node, key, failure) < 0)
        return -1;
    return sealed12_store(node, policy->pcrs, pin, key->bytes, key->size, failure);
}

static int volume_format_tpm20(const char *node, const struct volume_policy *policy,
                               const char *pin, struct volume_key *key, struct failure *failure)
{
    char *token = volume_seal_new(policy, pin, TPM_SLOT, key, failure);
    if (!token)
        return -1;
    int status = volume_format(node, key, failure);
    if (status == 0)
        status = token_write(node, "0", token, failure);
    free(token);
    return status;
}

static int volume_add_recovery(const char *node, const struct volume_policy *policy,
                               const struct volume_key *key, char recovery[VOLUME_SECRET],
                               struct failure *failure)
{
    if (recovery_make(recovery, failure) < 0 ||
        volume_add_slot(node, RECOVERY_SLOT, key->bytes, key->size, recovery, strlen(recovery),
                        failure) < 0)
        return -1;
    int status = token_write(node, "1", RECOVERY_TOKEN, failure);
    if (status == 0 && policy->escrow)
        status = escrow_store(node, policy->escrow, recovery, failure);
    return status;
}

int volume_make(const char *node, const struct volume_policy *policy, const char *pin,
                char recovery[VOLUME_SECRET], struct failure *failure)
{
    struct volume_key key;
    *recovery = 0;
    int status = policy->is_tpm12 ? volume_format_tpm12(node, policy, pin, &key, failure)
                                  : volume_format_tpm20(node, policy, pin, &key, failure);
    if (status == 0 && policy->recovery)
        status = volume_add_recovery(node, policy, &key, recovery, failure);
    explicit_bzero(&key, sizeof key);
    return status < 0 ? -1 : volume_record(node, policy->pcrs, failure);
}

static int volume_open_slot(const char *node, const void *secret, size_t size,
                            struct failure *failure)
{
    const char *const arguments[] = {"cryptsetup", "open", "--type", "luks2",     "--batch-mode",
                                     "--key-file", "-",    node,     VOLUME_NAME, NULL};
    return volume_run_with(arguments, secret, size, failure);
}

static int volume_unseal_tpm12(const char *node, const char *pin, struct volume_key *key,
                               struct failure *failure)
{
    int size = sealed12_key(node, pin, key->bytes, failure);
    key->size = size < 0 ? 0 : (size_t)size;
    return size < 0 ? -1 : 0;
}

/* By the first token that the TPM releases. */
static int volume_unseal_tpm20(const struct header *header, const char *pin, struct volume_key *key,
                               struct failure *failure)
{
    char passphrase[SEALED20_PASSPHRASE];
    const struct json *token = NULL;
    int status = failed(failure, "no key is sealed to a TPM 2.0");
    while (status < 0 && (token = header_token(header, token, SEALED20_TYPE)))
        status = sealed20_open(SEALED20_DEVICE, token, SIGNATURE, pin, passphrase, failure);
    if (status < 0)
        return -1;
    key->size = strlen(passphrase);
    memcpy(key->bytes, passphrase, key->size);
    explicit_bzero(passphrase, sizeof passphrase);
    return 0;
}

static int volume_unseal(const char *node, const struct volume_policy *policy, const char *pin,
                         struct volume_key *key, struct failure *failure)
{
    struct header header;
    if (policy->is_tpm12)
        return volume_unseal_tpm12(node, pin, key, failure);
    if (header_read_node(node, &header, failure) < 0)
        return -1;
    int status = volume_unseal_tpm20(&header, pin, key, failure);
    header_free(&header);
    return status;
}

int volume_open(const char *node, const struct volume_policy *policy, const char *pin,
                struct failure *failure)
{
    struct volume_key key;
    int status = volume_unseal(node, policy, pin, &key, failure);
    if (status == 0)
        status = volume_open_slot(node, key.bytes, key.size, failure);
    explicit_bzero(&key, sizeof key);
    return status;
}

int volume_open_with(const char *node, const char *recovery, struct failure *failure)
{
    return volume_open_slot(node, recovery, strlen(recovery), failure);
}

/* A token of the TPM's, and the slots that it is for. */
static int volume_remove_token(const char *node, const struct json *token, struct failure *failure)
{
    const char *const arguments[] = {"cryptsetup", "token", "remove", "--token-id",
                                     token->key,   node,    NULL};
    const struct json *slots = json_member(token, "keyslots");
    const struct json *slot = slots && slots->type == JSON_ARRAY ? slots->first : NULL;
    for (; slot; slot = slot->next)
        if (slot->type == JSON_STRING && volume_remove_slot(node, slot->text, failure) < 0)
            return -1;
    return tool_run(arguments, -1, TOOL_SECONDS, false, failure);
}

static int volume_replace_keys(const char *node, const struct volume_policy *policy,
                               const char *pin, const struct header *header, const void *secret,
                               size_t size, struct failure *failure)
{
    struct volume_key key;
    char id[16];
    int slot = header_unused(header, "keyslots");
    snprintf(id, sizeof id, "%d", header_unused(header, "tokens"));
    char *token = volume_seal_new(policy, pin, slot, &key, failure);
    if (!token)
        return -1;
    int status = volume_add_slot(node, slot, secret, size, key.bytes, key.size, failure);
    explicit_bzero(&key, sizeof key);
    if (status == 0)
        status = token_write(node, id, token, failure);
    free(token);
    const struct json *old = NULL;
    while (status == 0 && (old = header_token(header, old, SEALED20_TYPE)))
        status = volume_remove_token(node, old, failure);
    return status;
}

/*
 * A new key of the TPM's, and then none of those before. If power is lost between the two, the new
 * one opens the volume, and the old ones go with the next that is made.
 */
static int volume_renew(const char *node, const struct volume_policy *policy, const char *pin,
                        const void *secret, size_t size, struct failure *failure)
{
    struct header header;
    if (header_read_node(node, &header, failure) < 0)
        return -1;
    int status = volume_replace_keys(node, policy, pin, &header, secret, size, failure);
    header_free(&header);
    return status;
}

/* Whether some key of the TPM's is sealed to another than the system's own. */
static bool volume_is_outdated(const struct header *header)
{
    const struct json *token = NULL;
    while ((token = header_token(header, token, SEALED20_TYPE)))
        if (!sealed20_is_of(token, PUBLIC_KEY))
            return true;
    return false;
}

int volume_move(const char *node, const struct volume_policy *policy, const char *pin,
                struct failure *failure)
{
    struct header header;
    struct volume_key key;
    if (!policy->is_signed || !signers_are_several(SIGNATURE))
        return 0;
    if (header_read_node(node, &header, failure) < 0)
        return -1;
    bool is_outdated = volume_is_outdated(&header);
    header_free(&header);
    if (!is_outdated)
        return 0;
    int status = volume_unseal(node, policy, pin, &key, failure);
    if (status == 0)
        status = volume_renew(node, policy, pin, key.bytes, key.size, failure);
    explicit_bzero(&key, sizeof key);
    return status < 0 ? -1 : 1;
}

/* A new key in the slot of the old one, which only the old TPM could read. */
static int volume_seal_tpm12(const char *node, const struct volume_policy *policy, const char *pin,
                             const char *recovery, struct failure *failure)
{
    struct volume_key key;
    struct failure ignored;
    /* Where power was lost in the middle of this, there is none. */
    volume_remove_slot(node, "0", &ignored);
    int status = volume_new_key(&key, failure);
    if (status == 0)
        status = volume_add_slot(node, TPM_SLOT, recovery, strlen(recovery), key.bytes, key.size,
                                 failure);
    if (status == 0)
        status = sealed12_store(node, policy->pcrs, pin, key.bytes, key.size, failure);
    explicit_bzero(&key, sizeof key);
    return status;
}

int volume_seal(const char *node, const struct volume_policy *policy, const char *pin,
                const char *recovery, struct failure *failure)
{
    int status = policy->is_tpm12
                     ? volume_seal_tpm12(node, policy, pin, recovery, failure)
                     : volume_renew(node, policy, pin, recovery, strlen(recovery), failure);
    return status < 0 ? -1 : volume_record(node, policy->pcrs, failure);
}
