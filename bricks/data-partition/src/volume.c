/* volume.c: see volume.h. */
#include "volume.h"

#include "disk/report.h"
#include "disk/tool.h"
#include "platform.h"
#include "sealed12.h"
#include "signers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define TPM "/dev/tpmrm0"
#define KEY "/run/data-partition.key"
#define SIGNATURE "/run/systemd/tpm2-pcr-signature.json"
#define PUBLIC_KEY "/run/systemd/tpm2-pcr-public-key.pem"
#define BY_FILE "--unlock-key-file=" KEY
#define BY_TPM "--unlock-tpm2-device=" TPM

enum { KEY_SIZE = TPM12_MOST_SECRET, MOST_ARGUMENTS = 16, TOOL_SECONDS = 300 };

/* systemd's programs take secrets from their environment, and wipe them there. */
static int volume_run(const char *const arguments[], const char *variable, const char *secret,
                      char *output, size_t size, struct failure *failure)
{
    if (variable)
        setenv(variable, secret, 1);
    int status = output ? tool_capture(arguments, TOOL_SECONDS, output, size, failure)
                        : tool_run(arguments, -1, TOOL_SECONDS, false, failure);
    if (variable)
        unsetenv(variable);
    return status;
}

bool volume_has_signature(void)
{
    return access(SIGNATURE, R_OK) == 0 && access(PUBLIC_KEY, R_OK) == 0;
}

/* A passphrase of random bytes, which no longer opens anything when the volume is made. */
static int volume_write_key(struct failure *failure)
{
    unsigned char key[KEY_SIZE];
    int file = open(KEY, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0)
        return failed_errno(failure, KEY);
    int status = 0;
    if (getrandom(key, sizeof key, 0) != sizeof key ||
        write(file, key, sizeof key) != (ssize_t)sizeof key)
        status = failed_errno(failure, KEY);
    explicit_bzero(key, sizeof key);
    close(file);
    return status;
}

static int volume_format(const char *node, struct failure *failure)
{
    /* The key is random: deriving it slowly would protect nothing. */
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
                                     KEY,
                                     node,
                                     NULL};
    return tool_run(arguments, -1, TOOL_SECONDS, false, failure);
}

/*
 * The volume is opened with `secret`; where there is none, by `unlock`, an option: with the key
 * file, or by the TPM.
 */
static int volume_enrol_tpm(const char *node, const struct volume_policy *policy, const char *pin,
                            const char *secret, const char *unlock, struct failure *failure)
{
    char pcrs[128];
    const char *arguments[MOST_ARGUMENTS] = {"systemd-cryptenroll", "--tpm2-device=" TPM, pcrs};
    size_t count = 3;
    snprintf(pcrs, sizeof pcrs, "--tpm2-pcrs=%s", policy->pcrs);
    if (policy->is_signed) {
        arguments[count++] = "--tpm2-public-key=" PUBLIC_KEY;
        arguments[count++] = "--tpm2-public-key-pcrs=11";
        arguments[count++] = "--tpm2-signature=" SIGNATURE;
    } else
        arguments[count++] = "--tpm2-public-key=";
    if (policy->pin)
        arguments[count++] = "--tpm2-with-pin=yes";
    if (unlock)
        arguments[count++] = unlock;
    /* Of the TPM, the new key is the only one. */
    if (unlock && strcmp(unlock, BY_TPM) == 0)
        arguments[count++] = "--wipe-slot=tpm2";
    arguments[count] = node;
    if (policy->pin)
        setenv("NEWPIN", pin, 1);
    int status = volume_run(arguments, secret ? "PASSWORD" : NULL, secret, NULL, 0, failure);
    unsetenv("NEWPIN");
    return status;
}

static int volume_enrol_recovery(const char *node, char recovery[VOLUME_SECRET],
                                 struct failure *failure)
{
    const char *const arguments[] = {"systemd-cryptenroll", "--recovery-key",
                                     "--unlock-key-file=" KEY, node, NULL};
    if (volume_run(arguments, NULL, NULL, recovery, VOLUME_SECRET, failure) < 0)
        return -1;
    recovery[strcspn(recovery, "\n")] = 0;
    return *recovery ? 0 : failed(failure, "systemd-cryptenroll made no recovery key");
}

static int volume_remove_key(const char *node, struct failure *failure)
{
    const char *const arguments[] = {"cryptsetup", "luksKillSlot", "--batch-mode", node, "0", NULL};
    return tool_run(arguments, -1, TOOL_SECONDS, false, failure);
}

/* The slot of the key file, which only the TPM 1.2 knows from now on. */
static int volume_enrol_tpm12(const char *node, const struct volume_policy *policy, const char *pin,
                              struct failure *failure)
{
    unsigned char key[KEY_SIZE];
    int file = open(KEY, O_RDONLY | O_CLOEXEC);
    int status = 0;
    if (file < 0 || read(file, key, sizeof key) != sizeof key)
        status = failed_errno(failure, KEY);
    if (file >= 0)
        close(file);
    if (status == 0)
        status = sealed12_store(node, policy->pcrs, pin, key, sizeof key, failure);
    explicit_bzero(key, sizeof key);
    return status;
}

static int volume_enrol(const char *node, const struct volume_policy *policy, const char *pin,
                        struct failure *failure)
{
    return policy->is_tpm12 ? volume_enrol_tpm12(node, policy, pin, failure)
                            : volume_enrol_tpm(node, policy, pin, NULL, BY_FILE, failure);
}

static int volume_fill(const char *node, const struct volume_policy *policy, const char *pin,
                       char recovery[VOLUME_SECRET], struct failure *failure)
{
    if (volume_write_key(failure) < 0 || volume_format(node, failure) < 0 ||
        volume_enrol(node, policy, pin, failure) < 0)
        return -1;
    if (policy->recovery && volume_enrol_recovery(node, recovery, failure) < 0)
        return -1;
    if (!policy->is_tpm12 && volume_remove_key(node, failure) < 0)
        return -1;
    return platform_record(node, policy->pcrs, failure);
}

int volume_make(const char *node, const struct volume_policy *policy, const char *pin,
                char recovery[VOLUME_SECRET], struct failure *failure)
{
    *recovery = 0;
    int status = volume_fill(node, policy, pin, recovery, failure);
    unlink(KEY);
    return status;
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

static int volume_open_slot(const char *node, const void *secret, size_t size,
                            struct failure *failure)
{
    const char *const arguments[] = {"cryptsetup", "open", "--type", "luks2",     "--batch-mode",
                                     "--key-file", "-",    node,     VOLUME_NAME, NULL};
    return volume_run_with(arguments, secret, size, failure);
}

static int volume_open_tpm12(const char *node, const char *pin, struct failure *failure)
{
    unsigned char key[TPM12_MOST_SECRET];
    int size = sealed12_key(node, pin, key, failure);
    int status = size < 0 ? -1 : volume_open_slot(node, key, (size_t)size, failure);
    explicit_bzero(key, sizeof key);
    return status;
}

int volume_open(const char *node, const struct volume_policy *policy, const char *pin,
                struct failure *failure)
{
    if (policy->is_tpm12)
        return volume_open_tpm12(node, pin, failure);
    const char *const options = volume_has_signature() ? "luks,headless=1,tries=1,tpm2-device=" TPM
                                                         ",tpm2-signature=" SIGNATURE
                                                       : "luks,headless=1,tries=1,tpm2-device=" TPM;
    const char *const arguments[] = {
        "systemd-cryptsetup", "attach", VOLUME_NAME, node, "-", options, NULL};
    return volume_run(arguments, *pin ? "PIN" : NULL, pin, NULL, 0, failure);
}

/*
 * A recovery key is the passphrase of a slot. It goes to cryptsetup: systemd-cryptsetup asks for
 * passwords, and takes none where nobody can be asked.
 */
int volume_open_with(const char *node, const char *recovery, struct failure *failure)
{
    return volume_open_slot(node, recovery, strlen(recovery), failure);
}

int volume_move(const char *node, const struct volume_policy *policy, const char *pin,
                struct failure *failure)
{
    if (!policy->is_signed || !signers_are_several(SIGNATURE) || signers_is_own(node, PUBLIC_KEY))
        return 0;
    if (policy->pin)
        setenv("PIN", pin, 1);
    int status = volume_enrol_tpm(node, policy, pin, NULL, BY_TPM, failure);
    unsetenv("PIN");
    return status < 0 ? -1 : 1;
}

void volume_close(void)
{
    struct failure failure;
    const char *const arguments[] = {"cryptsetup", "close", VOLUME_NAME, NULL};
    if (tool_run(arguments, -1, TOOL_SECONDS, false, &failure) < 0)
        report("data-partition", "%s", failure.text);
}

/* A new key in the slot of the old one, which only the old TPM could read. */
static int volume_seal_tpm12(const char *node, const struct volume_policy *policy, const char *pin,
                             const char *recovery, struct failure *failure)
{
    const char *const add[] = {"cryptsetup",
                               "luksAddKey",
                               "--batch-mode",
                               "--key-slot",
                               "0",
                               "--pbkdf",
                               "pbkdf2",
                               "--pbkdf-force-iterations",
                               "1000",
                               "--key-file",
                               "-",
                               node,
                               KEY,
                               NULL};
    struct failure ignored;
    /* Where power was lost in the middle of this, there is none. */
    volume_remove_key(node, &ignored);
    int status = volume_write_key(failure);
    if (status == 0)
        status = volume_run_with(add, recovery, strlen(recovery), failure);
    if (status == 0)
        status = volume_enrol_tpm12(node, policy, pin, failure);
    unlink(KEY);
    return status;
}

static int volume_seal_tpm20(const char *node, const struct volume_policy *policy, const char *pin,
                             const char *recovery, struct failure *failure)
{
    /* To systemd-cryptenroll a key of the same policy is this one, of whatever TPM it is. */
    const char *const wipe[] = {"systemd-cryptenroll", "--wipe-slot=tpm2", node, NULL};
    if (tool_run(wipe, -1, TOOL_SECONDS, false, failure) < 0)
        return -1;
    return volume_enrol_tpm(node, policy, pin, recovery, NULL, failure);
}

int volume_seal(const char *node, const struct volume_policy *policy, const char *pin,
                const char *recovery, struct failure *failure)
{
    /* The old key goes first: if power is lost now, the recovery key is asked for again. */
    int status = policy->is_tpm12 ? volume_seal_tpm12(node, policy, pin, recovery, failure)
                                  : volume_seal_tpm20(node, policy, pin, recovery, failure);
    return status < 0 ? -1 : platform_record(node, policy->pcrs, failure);
}
