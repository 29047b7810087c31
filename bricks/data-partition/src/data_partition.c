/*
 * data_partition.c: makes, grows, opens and mounts the data partition of the disk that the machine
 * has booted from, before the system is started.
 *
 * A partition is complete or it is made anew (place.h). With a table that the firmware measures
 * into what the key is bound to, the machine starts again between writing the table and sealing.
 */
#include "base/files.h"
#include "base/variables.h"
#include "disk/flags.h"
#include "disk/grow.h"
#include "disk/repair.h"
#include "disk/report.h"
#include "disk/signature.h"
#include "disk/terminal.h"
#include "disk/tool.h"
#include "escrow.h"
#include "luks/roots.h"
#include "place.h"
#include "seal/platform.h"
#include "volume.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <unistd.h>

#define FIRMWARE_VARIABLES "/firmware/efi/efivars"

enum {
    MIB = 1 << 20,
    MKFS_SECONDS = 3600,
    TRIES = 3,
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    POLICY_SIZE = 64
};

struct maker {
    const char *type;
    const char *program;
    const char *force; /* its option to ask nothing */
};

static const struct maker data_partition_makers[] = {
    {"ext4", "mkfs.ext4", "-F"},
    {"xfs", "mkfs.xfs", "-f"},
    {"btrfs", "mkfs.btrfs", "-f"},
};

struct request {
    struct place_wish place;
    const struct maker *maker;
    const char *point;
    bool encrypt;
    bool ask; /* for the recovery key, rather than halt */
    struct volume_policy policy;
};

#define data_partition_say(...) report("data-partition", __VA_ARGS__)

static int data_partition_make_filesystem(const struct request *request, const char *node,
                                          struct failure *failure)
{
    const char *const arguments[] = {
        request->maker->program, request->maker->force, "-q", "-L", PLACE_NAME, node, NULL};
    return tool_run(arguments, -1, MKFS_SECONDS, false, failure);
}

static int data_partition_new_pin(char pin[VOLUME_SECRET], struct failure *failure)
{
    char again[VOLUME_SECRET];
    for (;;) {
        if (terminal_ask_secret("New PIN of the data partition: ", pin, VOLUME_SECRET, failure) <
                0 ||
            terminal_ask_secret("The same PIN again: ", again, sizeof again, failure) < 0)
            return -1;
        bool same = *pin && strcmp(pin, again) == 0;
        explicit_bzero(again, sizeof again);
        if (same)
            return 0;
        terminal_show("The PINs differ, or are empty.\n");
    }
}

/* The volume on a blank partition, open. */
static int data_partition_make_volume(const struct request *request, const char *node,
                                      struct failure *failure)
{
    char pin[VOLUME_SECRET] = "", recovery[VOLUME_SECRET] = "";
    if (platform_check(request->policy.pcrs, request->policy.is_tpm12, failure) < 0)
        return -1;
    if (request->policy.pin && data_partition_new_pin(pin, failure) < 0)
        return -1;
    data_partition_say("%s: sealing a new key to this machine", node);
    int status = volume_make(node, &request->policy, pin, recovery, failure);
    if (status == 0)
        status = volume_open(node, &request->policy, pin, failure);
    if (status == 0 && request->policy.escrow)
        data_partition_say("%s: its recovery key is in the envelope for the escrow", node);
    else if (status == 0 && *recovery)
        terminal_show("\nThe recovery key of the data partition, shown this once:\n\n    %s\n\n"
                      "Whoever has it can open the partition without this machine.\n\n",
                      recovery);
    explicit_bzero(pin, sizeof pin);
    explicit_bzero(recovery, sizeof recovery);
    return status;
}

static int data_partition_make(const struct request *request, struct place *place,
                               struct failure *failure)
{
    const char *node = request->encrypt ? VOLUME_NODE : place->node;
    if (request->encrypt && data_partition_make_volume(request, place->node, failure) < 0)
        return -1;
    if (data_partition_make_filesystem(request, node, failure) < 0 ||
        place_complete(place, failure) < 0)
        return -1;
    data_partition_say("%s: %s file system made", place->node, request->maker->type);
    return 0;
}

/* What was asked for is what is there. */
static int data_partition_check(const char *node, const char *wanted, struct signature *signature,
                                uint64_t *size, struct failure *failure)
{
    struct disk disk;
    if (disk_open(&disk, node, O_RDONLY, failure) < 0)
        return -1;
    *size = disk.size;
    const struct region region = {disk.descriptor, 0, disk.size};
    int found = signature_read(&region, signature, failure);
    close(disk.descriptor);
    if (found < 0)
        return -1;
    if (found == 0)
        return failed(failure, "%s holds data of an unknown kind, not %s", node, wanted);
    if (strcmp(signature->name, wanted) != 0)
        return failed(failure, "%s holds %s, not %s; nothing is changed", node, signature->name,
                      wanted);
    return 0;
}

/* What it is opened by now is what older versions of the system have no more. */
static void data_partition_move(const struct request *request, const char *node, const char *pin)
{
    struct failure failure;
    int status = volume_move(node, &request->policy, pin, &failure);
    if (status < 0)
        data_partition_say("%s: versions that were revoked still open it: %s", node, failure.text);
    if (status > 0)
        data_partition_say(
            "%s: sealed to the new key: versions that were revoked no longer open it", node);
}

/* By the TPM, and the PIN if there is one; a few wrong PINs are forgiven. */
static int data_partition_unseal(const struct request *request, const char *node,
                                 struct failure *failure)
{
    char pin[VOLUME_SECRET] = "";
    int status = -1;
    for (int try = 0; try < (request->policy.pin ? TRIES : 1) && status < 0; try++) {
        if (request->policy.pin &&
            terminal_ask_secret("PIN of the data partition: ", pin, sizeof pin, failure) < 0)
            return -1;
        status = volume_open(node, &request->policy, pin, failure);
        if (status == 0)
            data_partition_move(request, node, pin);
        else if (request->policy.pin)
            data_partition_say("%s: %s", node, failure->text);
        explicit_bzero(pin, sizeof pin);
    }
    return status;
}

/* Whoever has the recovery key decides whether the machine, as it is now, is to be trusted. */
static void data_partition_seal_again(const struct request *request, const char *node,
                                      const char *recovery)
{
    char answer[16] = "", pin[VOLUME_SECRET] = "";
    struct failure failure;
    if (terminal_ask_secret("Seal the key to the machine as it is now? Then type yes: ", answer,
                            sizeof answer, &failure) < 0 ||
        strcmp(answer, "yes") != 0)
        return;
    int status = platform_check(request->policy.pcrs, request->policy.is_tpm12, &failure);
    if (status == 0 && request->policy.pin)
        status = data_partition_new_pin(pin, &failure);
    if (status == 0)
        status = volume_seal(node, &request->policy, pin, recovery, &failure);
    explicit_bzero(pin, sizeof pin);
    if (status < 0)
        data_partition_say("%s: not sealed: %s", node, failure.text);
    else
        data_partition_say("%s: the key is sealed to the machine as it is now", node);
}

static int data_partition_recover(const struct request *request, const char *node,
                                  struct failure *failure)
{
    char recovery[VOLUME_SECRET];
    int status = -1;
    for (int try = 0; try < TRIES && status < 0; try++) {
        if (terminal_ask_secret("Recovery key of the data partition: ", recovery, sizeof recovery,
                                failure) < 0)
            return -1;
        status = volume_open_with(node, recovery, failure);
        if (status == 0)
            data_partition_seal_again(request, node, recovery);
        explicit_bzero(recovery, sizeof recovery);
    }
    return status;
}

static int data_partition_open(const struct request *request, const char *node,
                               struct failure *failure)
{
    struct signature signature;
    uint64_t size;
    if (data_partition_check(node, "LUKS2", &signature, &size, failure) < 0)
        return -1;
    bool is_tpm12 = request->policy.is_tpm12;
    if (!platform_has_tpm(is_tpm12))
        failed(failure, "no TPM %s", is_tpm12 ? "1.2" : "2.0");
    else if (data_partition_unseal(request, node, failure) == 0)
        return 0;
    data_partition_say("%s: the TPM does not open it: %s", node, failure->text);
    volume_explain(node, is_tpm12);
    return request->ask ? data_partition_recover(request, node, failure) : -1;
}

/* The file system fills its device, and is mounted. */
static int data_partition_mount(const struct request *request, const char *node,
                                struct failure *failure)
{
    struct signature signature;
    uint64_t size;
    if (data_partition_check(node, request->maker->type, &signature, &size, failure) < 0)
        return -1;
    /* What does not grow is whole all the same. */
    if (signature.size > 0 && size >= signature.size + MIB &&
        grow_filesystem(node, request->maker->type, size, failure) < 0)
        data_partition_say("%s", failure->text);
    if (directory_make(request->point) < 0)
        return failed_errno(failure, "%s", request->point);
    return repair_mount(node, request->point, request->maker->type, MS_NOSUID | MS_NODEV, failure);
}

/* The next start measures the table that was just written. */
static int data_partition_start_again(struct failure *failure)
{
    data_partition_say("the partition table is new: starting again, so that it is measured");
    sync();
    reboot(RB_AUTOBOOT);
    return failed_errno(failure, "reboot");
}

static int data_partition_run(const struct request *request, struct place *place,
                              struct failure *failure)
{
    const char *node = request->encrypt ? VOLUME_NODE : place->node;
    if (place_find(place, &request->place, failure) < 0)
        return -1;
    if (place->blank && place->changed && request->place.fixed)
        return data_partition_start_again(failure);
    if (place->blank) {
        if (data_partition_make(request, place, failure) < 0)
            return -1;
    } else if (request->encrypt && data_partition_open(request, place->node, failure) < 0)
        return -1;
    if (data_partition_mount(request, node, failure) < 0)
        return -1;
    /* The envelope is in the header all the same. */
    struct failure ignored;
    if (request->policy.escrow && escrow_show(place->node, request->point, &ignored) < 0)
        data_partition_say("%s", ignored.text);
    return 0;
}

static int data_partition_read(struct request *request, const char *type, const char *size,
                               const char *tpm, struct failure *failure)
{
    request->policy.is_tpm12 = strcmp(tpm, "1.2") == 0;
    if (!request->policy.is_tpm12 && strcmp(tpm, "2.0") != 0)
        return failed(failure, "-tpm %s: not one of 1.2, 2.0", tpm);
    for (size_t index = 0; index < sizeof data_partition_makers / sizeof *data_partition_makers;
         index++)
        if (strcmp(type, data_partition_makers[index].type) == 0)
            request->maker = &data_partition_makers[index];
    if (!request->maker)
        return failed(failure, "-type %s: not one of ext4, xfs, btrfs", type);
    char *end;
    request->place.size = strtoull(size, &end, 10);
    return *end ? failed(failure, "-size %s: not a number of bytes", size) : 0;
}

/*
 * PCR 11 is always part of it, so that nothing opens the partition once the system has left the
 * initrd: as what the system's key has signed, else by its value. A TPM 1.2 knows no signatures;
 * the value there is that of the phase alone.
 */
static void data_partition_complete_policy(struct volume_policy *policy)
{
    static char pcrs[POLICY_SIZE];
    policy->is_signed = !policy->is_tpm12 && volume_has_signature();
    if (policy->is_signed)
        return;
    snprintf(pcrs, sizeof pcrs, "%s+11", policy->pcrs);
    policy->pcrs = pcrs;
}

int main(int count, char *arguments[])
{
    const char *type = "ext4", *size = "0", *tpm = "2.0";
    static struct place place;
    struct request request = {.policy = {.pcrs = "7+12"}};
    struct failure failure;
    const struct flag flags[] = {
        {"type", &type, NULL},
        {"size", &size, NULL},
        {"device", &request.place.device, NULL},
        {"fixed", NULL, &request.place.fixed},
        {"encrypt", NULL, &request.encrypt},
        {"tpm", &tpm, NULL},
        {"pcrs", &request.policy.pcrs, NULL},
        {"pin", NULL, &request.policy.pin},
        {"recovery", NULL, &request.policy.recovery},
        {"escrow", &request.policy.escrow, NULL},
        {"ask", NULL, &request.ask},
        {NULL, NULL, NULL},
    };
    if (count > 1 && strcmp(arguments[1], ROOTS_COMMAND) == 0)
        return roots_command(count - 1, arguments + 1);
    variables_folder = FIRMWARE_VARIABLES;
    int rest = flags_read(count, arguments, flags, &failure);
    if (rest < 0 || data_partition_read(&request, type, size, tpm, &failure) < 0) {
        data_partition_say("%s", failure.text);
        return STATUS_USAGE;
    }
    if (count - rest != 1) {
        data_partition_say("usage: data-partition [OPTION...] MOUNTPOINT");
        return STATUS_USAGE;
    }
    request.point = arguments[rest];
    data_partition_complete_policy(&request.policy);
    int status = data_partition_run(&request, &place, &failure);
    place_close(&place);
    if (status < 0) {
        data_partition_say("%s; the system is not started", failure.text);
        return STATUS_FAILED;
    }
    data_partition_say("%s is mounted at %s", place.node, request.point);
    return 0;
}
