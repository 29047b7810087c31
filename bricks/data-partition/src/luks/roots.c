/* roots.c: see roots.h. */
#include "luks/roots.h"

#include "disk/block.h"
#include "disk/flags.h"
#include "disk/report.h"
#include "disk/terminal.h"
#include "luks/sealed_root.h"
#include "seal/signers.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 2, TRIES = 3, SECRET = 256, MAGIC = 6 };

/* The volume of a slot. */
struct roots_volume {
    const char *name;
    const char *node;
    uint64_t size;
    struct sealed_root root;
    bool is_volume; /* LUKS2, with a header that is whole */
    bool is_open;
};

/* The first one is that of the slot that was started; the others count if they are of its kind. */
struct roots {
    struct roots_volume volumes[MOST];
    size_t count;
    char passphrase[SEALED20_PASSPHRASE]; /* by the TPM; empty without one */
    bool ask;
    bool move;
};

#define roots_say(...) report("root", __VA_ARGS__)

static const struct sealed_root_system roots_system = {SEALED20_DEVICE, SEALED_ROOT_SIGNATURES,
                                                       SEALED_ROOT_PUBLIC_KEY};

/* A root that is not encrypted is none of ours, and no failure. */
static bool roots_is_luks(int device)
{
    char magic[MAGIC];
    return pread(device, magic, sizeof magic, 0) == sizeof magic &&
           memcmp(magic, "LUKS\xba\xbe", MAGIC) == 0;
}

static void roots_look(struct roots_volume *volume)
{
    struct disk disk;
    struct failure failure;
    if (disk_open(&disk, volume->node, O_RDWR, &failure) < 0) {
        roots_say("%s: %s", volume->node, failure.text);
        return;
    }
    volume->size = disk.size;
    volume->root.device = disk.descriptor;
    if (header_read(disk.descriptor, 0, &volume->root.header, &failure) == 0)
        volume->is_volume = true;
    else if (roots_is_luks(disk.descriptor))
        roots_say("%s: %s", volume->node, failure.text);
}

/* The volumes but the first one that can be opened; how many. */
static size_t roots_others(struct roots *roots, struct roots_volume *others[MOST])
{
    size_t count = 0;
    for (size_t i = 1; i < roots->count; i++)
        if (roots->volumes[i].is_volume)
            others[count++] = &roots->volumes[i];
    return count;
}

/* What is open, as far as it goes; how many. */
static size_t roots_open(struct roots *roots, struct sealed_root *open[MOST])
{
    size_t count = 0;
    for (size_t i = 0; i < roots->count; i++)
        if (roots->volumes[i].is_open)
            open[count++] = &roots->volumes[i].root;
    return count;
}

static void roots_unseal(struct roots *roots)
{
    struct roots_volume *first = roots->volumes, *others[MOST];
    struct sealed_root *volumes[MOST];
    struct failure failure;
    unsigned opened;
    size_t count = roots_others(roots, others);
    for (size_t i = 0; i < count; i++)
        volumes[i] = &others[i]->root;
    if (sealed_root_unseal(&first->root, volumes, count, &roots_system, roots->passphrase, &opened,
                           &failure) < 0) {
        roots_say("%s: the TPM does not open it: %s", first->node, failure.text);
        return;
    }
    first->is_open = true;
    for (size_t i = 0; i < count; i++)
        others[i]->is_open = opened >> i & 1;
}

static void roots_explain(const struct roots_volume *volume)
{
    char text[PLATFORM_TOKEN], name[16], value[128];
    size_t length = 0;
    const struct json *token = header_token(&volume->root.header, NULL, PLATFORM_TYPE);
    const struct json *at = token ? token->first : NULL;
    for (*text = 0; at && length < sizeof text; at = at->next) {
        if (at->type != JSON_STRING || !at->key)
            continue;
        snprintf(name, sizeof name, "%s", at->key);
        snprintf(value, sizeof value, "%s", at->text);
        length +=
            (size_t)snprintf(text + length, sizeof text - length, "\"%s\":\"%s\",", name, value);
    }
    platform_explain("root", token ? text : NULL, false);
}

static void roots_renew(struct roots *roots, const char *said)
{
    struct sealed_root *open[MOST];
    struct failure failure;
    size_t count = roots_open(roots, open);
    const char *passphrase = *roots->passphrase ? roots->passphrase : NULL;
    if (sealed_root_renew(open, count, &roots_system, passphrase, &failure) < 0)
        roots_say("not sealed: %s", failure.text);
    else
        roots_say("%s", said);
}

static void roots_seal_again(struct roots *roots)
{
    char answer[16] = "";
    struct failure failure;
    if (terminal_ask_secret("Seal the key to the machine as it is now? Then type yes: ", answer,
                            sizeof answer, &failure) < 0 ||
        strcmp(answer, "yes") != 0)
        return;
    if (platform_check(SEALED_ROOT_PCRS, false, &failure) < 0)
        roots_say("not sealed: %s", failure.text);
    else
        roots_renew(roots, "the key is sealed to the machine as it is now");
}

/* Volumes that were made together have one recovery key. */
static void roots_recover(struct roots *roots)
{
    char recovery[SECRET];
    struct failure failure;
    bool *is_open = &roots->volumes->is_open;
    for (int try = 0; try < TRIES && !*is_open; try++) {
        if (terminal_ask_secret("Recovery key of the root: ", recovery, sizeof recovery, &failure) <
            0) {
            roots_say("%s", failure.text);
            return;
        }
        for (size_t i = 0; i < roots->count; i++) {
            struct roots_volume *volume = &roots->volumes[i];
            if (volume->is_volume)
                volume->is_open = sealed_root_open(&volume->root, recovery, &failure) == 0;
        }
        explicit_bzero(recovery, sizeof recovery);
    }
    if (*is_open)
        roots_seal_again(roots);
}

/* What it is opened by now is what older versions of the system have no more. */
static void roots_move(struct roots *roots)
{
    bool is_outdated = false;
    if (!signers_are_several(roots_system.signatures))
        return;
    for (size_t i = 0; i < roots->count; i++)
        is_outdated |= roots->volumes[i].is_open &&
                       sealed_root_is_outdated(&roots->volumes[i].root, &roots_system);
    if (is_outdated)
        roots_renew(roots, "sealed to the new key: versions that were revoked no longer open it");
}

static int roots_map(struct roots_volume *volume)
{
    struct failure failure = {"it does not open with the other one's key, and stays closed"};
    int status = volume->is_open ? sealed_root_map(&volume->root, volume->name, volume->node,
                                                   volume->size, &failure)
                                 : -1;
    if (status == 0)
        roots_say("%s is /dev/mapper/%s, decrypted", volume->node, volume->name);
    else
        roots_say("%s: %s", volume->node, failure.text);
    return status;
}

/* The one that was started must open; without another one, only an update is not possible. */
static int roots_open_all(struct roots *roots)
{
    struct roots_volume *first = roots->volumes;
    roots_unseal(roots);
    if (!first->is_open) {
        roots_explain(first);
        if (roots->ask)
            roots_recover(roots);
    } else if (roots->move)
        roots_move(roots);
    if (!first->is_open)
        return 1;
    int status = roots_map(first) < 0;
    for (size_t i = 1; i < roots->count; i++)
        roots_map(&roots->volumes[i]);
    return status;
}

static int roots_run(struct roots *roots)
{
    struct roots_volume *first = roots->volumes;
    int status = 1;
    for (size_t i = 0; i < roots->count; i++)
        roots_look(&roots->volumes[i]);
    if (first->is_volume)
        status = roots_open_all(roots);
    else if (first->root.device >= 0 && !roots_is_luks(first->root.device))
        status = 0;
    for (size_t i = 0; i < roots->count; i++) {
        explicit_bzero(roots->volumes[i].root.key, XTS_KEY);
        header_free(&roots->volumes[i].root.header);
        if (roots->volumes[i].root.device >= 0)
            close(roots->volumes[i].root.device);
    }
    explicit_bzero(roots->passphrase, sizeof roots->passphrase);
    return status;
}

int roots_command(int count, char *arguments[])
{
    static struct roots roots;
    struct failure failure;
    const struct flag flags[] = {
        {"ask", NULL, &roots.ask}, {"move", NULL, &roots.move}, {NULL, NULL, NULL}};
    int rest = flags_read(count, arguments, flags, &failure);
    if (rest < 0 || rest == count || (count - rest) % 2 || (count - rest) / 2 > MOST) {
        roots_say("%s", rest < 0 ? failure.text : "not a list of names and devices");
        return 2;
    }
    for (; rest < count; rest += 2, roots.count++)
        roots.volumes[roots.count] = (struct roots_volume){
            .name = arguments[rest], .node = arguments[rest + 1], .root = {.device = -1}};
    return roots_run(&roots);
}
