/*
 * sealed_root.c: see sealed_root.h.
 *
 * Sources: cryptsetup, docs/on-disk-format-luks2.pdf, 3 (the JSON); Linux,
 * Documentation/admin-guide/device-mapper/dm-crypt.rst (the table, keys in the kernel's keyring);
 * add_key(2), keyrings(7).
 */
#include "luks/sealed_root.h"

#include "base/mapper.h"
#include "disk/bytes.h"
#include "luks/edit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RECOVERY_TOKEN "{\"type\":\"systemd-recovery\",\"keyslots\":[\"1\"]}"

enum {
    HEADER = 16 << 10, /* of each copy */
    SECTOR = 512,
    CRYPT_SECTOR = 4096, /* the blocks of dm-verity */
    UUID_BYTES = 16,
    PROCESS_KEYRING = -2
};

int sealed_root_seal(const struct sealed_root_system *system, bool recovery,
                     struct sealed_root_seal *seal, struct failure *failure)
{
    *seal = (struct sealed_root_seal){.recovery = ""};
    if (platform_record(SEALED_ROOT_PCRS, false, seal->platform, failure) < 0 ||
        (recovery && recovery_make(seal->recovery, failure) < 0))
        return -1;
    seal->token = sealed20_make(system->tpm, SEALED_ROOT_PCRS, system->public_key, "", 0,
                                seal->passphrase, failure);
    return seal->token ? 0 : -1;
}

void sealed_root_wipe(struct sealed_root_seal *seal)
{
    free(seal->token);
    explicit_bzero(seal, sizeof *seal);
}

/* Of the random kind (RFC 9562, 5.4). */
static int sealed_root_name(char uuid[HEADER_UUID], struct failure *failure)
{
    unsigned char bytes[UUID_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return failed_errno(failure, "getrandom");
    bytes[6] = (unsigned char)(0x40 | (bytes[6] & 0x0f));
    bytes[8] = (unsigned char)(0x80 | (bytes[8] & 0x3f));
    for (size_t i = 0; i < sizeof bytes; i++) {
        bool ends_group = i == 4 || i == 6 || i == 8 || i == 10;
        uuid += sprintf(uuid, ends_group ? "-%02x" : "%02x", bytes[i]);
    }
    return 0;
}

static char *sealed_root_text(const struct sealed_root *root, const struct sealed_root_seal *seal,
                              struct failure *failure)
{
    char slot[SLOT_TEXT], other[SLOT_TEXT] = "", digest[SLOT_TEXT], *text = NULL;
    bool recovery = *seal->recovery;
    if (slot_make(root->device, root->start, 0, seal->passphrase, root->key, slot, failure) < 0 ||
        (recovery &&
         slot_make(root->device, root->start, 1, seal->recovery, root->key, other, failure) < 0) ||
        slot_digest(root->key, recovery ? "\"0\",\"1\"" : "\"0\"", digest, failure) < 0)
        return NULL;
    if (asprintf(&text,
                 "{\"keyslots\":{%s%s%s},\"tokens\":{\"0\":%s%s,\"31\":%s},"
                 "\"segments\":{\"0\":{\"type\":\"crypt\",\"offset\":\"%d\",\"size\":\"dynamic\","
                 "\"iv_tweak\":\"0\",\"encryption\":\"aes-xts-plain64\",\"sector_size\":%d}},"
                 "\"digests\":{%s},"
                 "\"config\":{\"json_size\":\"%d\",\"keyslots_size\":\"%d\"}}",
                 slot, recovery ? "," : "", other, seal->token,
                 recovery ? ",\"1\":" RECOVERY_TOKEN : "", seal->platform, SLOT_DATA, CRYPT_SECTOR,
                 digest, HEADER - 4096, SLOT_DATA - 2 * HEADER) < 0) {
        failed_errno(failure, "the LUKS2 header");
        return NULL;
    }
    return text;
}

int sealed_root_make(struct sealed_root *root, const struct sealed_root_seal *seal,
                     struct failure *failure)
{
    root->header = (struct header){.size = HEADER};
    if (sealed_root_name(root->header.uuid, failure) < 0)
        return -1;
    if (getrandom(root->key, sizeof root->key, 0) != sizeof root->key)
        return failed_errno(failure, "getrandom");
    char *text = sealed_root_text(root, seal, failure);
    int status = text ? header_write(root->device, root->start, &root->header, text, failure) : -1;
    free(text);
    return status;
}

int sealed_root_open(struct sealed_root *root, const char *passphrase, struct failure *failure)
{
    const struct json *slots = json_member(root->header.root, "keyslots");
    failed(failure, "it has no key slots");
    for (const struct json *at = slots ? slots->first : NULL; at; at = at->next)
        if (at->key && slot_open(root->device, root->start, &root->header, at, passphrase,
                                 root->key, failure) == 0)
            return 0;
    return -1;
}

int sealed_root_unseal(struct sealed_root *first, struct sealed_root *const others[], size_t count,
                       const struct sealed_root_system *system,
                       char passphrase[SEALED20_PASSPHRASE], unsigned *opened,
                       struct failure *failure)
{
    const struct json *token = NULL;
    const unsigned all = (1U << count) - 1;
    char best[SEALED20_PASSPHRASE] = "";
    struct failure ignored;
    int status = failed(failure, "no key is sealed to a TPM 2.0");
    *opened = 0;
    /* Where sealing anew was interrupted, there are two, and one of them opens all volumes. */
    while ((status < 0 || *opened != all) &&
           (token = header_token(&first->header, token, SEALED20_TYPE))) {
        struct failure *reason = status < 0 ? failure : &ignored;
        unsigned found = 0;
        if (sealed20_open(system->tpm, token, system->signatures, "", passphrase, reason) < 0 ||
            sealed_root_open(first, passphrase, reason) < 0)
            continue;
        for (size_t i = 0; i < count; i++)
            if (sealed_root_open(others[i], passphrase, &ignored) == 0)
                found |= 1U << i;
        if (status < 0 || found > *opened) {
            strcpy(best, passphrase);
            *opened = found;
        }
        status = 0;
    }
    strcpy(passphrase, best);
    explicit_bzero(best, sizeof best);
    return status;
}

bool sealed_root_is_outdated(const struct sealed_root *root,
                             const struct sealed_root_system *system)
{
    const struct json *token = NULL;
    while ((token = header_token(&root->header, token, SEALED20_TYPE)))
        if (!sealed20_is_of(token, system->public_key))
            return true;
    return false;
}

/* What the key slots held that no longer are any. */
static void sealed_root_forget(const struct sealed_root *root, const struct edit *edit)
{
    const struct json *slots = json_member(root->header.root, "keyslots");
    for (const struct json *at = slots ? slots->first : NULL; at; at = at->next)
        if (at->key && edit_drops_slot(&root->header, edit, at->key))
            slot_forget(root->device, root->start, &root->header, at);
}

static int sealed_root_change(struct sealed_root *root, const struct edit *edit,
                              struct failure *failure)
{
    char *text = edit_header(&root->header, edit, failure);
    int status = text ? header_write(root->device, root->start, &root->header, text, failure) : -1;
    free(text);
    if (status < 0)
        return -1;
    sealed_root_forget(root, edit);
    header_free(&root->header);
    return header_read(root->device, root->start, &root->header, failure);
}

/* The token whose slot the passphrase opens; NULL without one. */
static const struct json *sealed_root_token(const struct sealed_root *root, const char *passphrase)
{
    const struct json *token = NULL, *slots = json_member(root->header.root, "keyslots");
    unsigned char key[XTS_KEY];
    struct failure ignored;
    while (passphrase && (token = header_token(&root->header, token, SEALED20_TYPE))) {
        const struct json *list = json_member(token, "keyslots");
        const struct json *number = list && list->type == JSON_ARRAY ? list->first : NULL;
        const struct json *slot =
            number && number->type == JSON_STRING ? json_member(slots, number->text) : NULL;
        if (!slot || slot_open(root->device, root->start, &root->header, slot, passphrase, key,
                               &ignored) < 0)
            continue;
        explicit_bzero(key, sizeof key);
        return token;
    }
    return NULL;
}

/* Of what is sealed, only the passphrase stays; with NULL, nothing does. */
static int sealed_root_keep(struct sealed_root *root, const char *passphrase,
                            struct failure *failure)
{
    static const char *const types[] = {SEALED20_TYPE, NULL};
    const struct json *stays = sealed_root_token(root, passphrase), *token = NULL;
    const struct edit edit = {.types = types, .stays = stays ? stays->key : NULL};
    while ((token = header_token(&root->header, token, SEALED20_TYPE)))
        if (edit_drops_token(&edit, token))
            return sealed_root_change(root, &edit, failure);
    return 0;
}

static int sealed_root_add(struct sealed_root *root, struct sealed_root_seal *seal,
                           struct failure *failure)
{
    static const char *const types[] = {PLATFORM_TYPE, NULL};
    char slot[SLOT_TEXT], *tokens = NULL;
    struct edit edit = {.types = types, .slot = header_unused(&root->header, "keyslots")};
    if (slot_make(root->device, root->start, edit.slot, seal->passphrase, root->key, slot,
                  failure) < 0)
        return -1;
    sealed20_set_slot(seal->token, edit.slot);
    if (asprintf(&tokens, "\"%d\":%s,\"31\":%s", header_unused(&root->header, "tokens"),
                 seal->token, seal->platform) < 0)
        return failed_errno(failure, "the LUKS2 header");
    edit.slot_text = slot;
    edit.tokens_text = tokens;
    int status = sealed_root_change(root, &edit, failure);
    free(tokens);
    return status;
}

int sealed_root_renew(struct sealed_root *const roots[], size_t count,
                      const struct sealed_root_system *system, const char *passphrase,
                      struct failure *failure)
{
    struct sealed_root_seal seal;
    int status = sealed_root_seal(system, false, &seal, failure);
    for (size_t i = 0; status == 0 && i < count; i++)
        status = sealed_root_keep(roots[i], passphrase, failure);
    for (size_t i = 0; status == 0 && i < count; i++)
        status = sealed_root_add(roots[i], &seal, failure);
    for (size_t i = 0; status == 0 && i < count; i++)
        status = sealed_root_keep(roots[i], seal.passphrase, failure);
    sealed_root_wipe(&seal);
    return status;
}

/* A key of the kind "logon" is for the kernel: nobody can read it. */
static int sealed_root_lend(const struct sealed_root *root, const char *description,
                            struct failure *failure)
{
    long key =
        syscall(SYS_add_key, "logon", description, root->key, sizeof root->key, PROCESS_KEYRING);
    return key < 0 ? failed_errno(failure, "the kernel's keyring") : 0;
}

/* The only segment: all behind the header. */
static int sealed_root_segment(const struct header *header, uint64_t *offset, uint64_t *sector,
                               struct failure *failure)
{
    const struct json *segments = json_member(header->root, "segments");
    const struct json *segment = json_member(segments, "0");
    const struct json *cipher = json_string(segment, "encryption");
    const struct json *type = json_string(segment, "type"), *size = json_string(segment, "size");
    *offset = header_number(segment, "offset", HEADER_MOST * 64);
    *sector = header_number(segment, "sector_size", CRYPT_SECTOR);
    if (!type || strcmp(type->text, "crypt") != 0 || !cipher || segments->first->next ||
        strcmp(cipher->text, "aes-xts-plain64") != 0 || !size ||
        strcmp(size->text, "dynamic") != 0 || header_number(segment, "iv_tweak", 0) != 0 ||
        *offset % CRYPT_SECTOR || *offset > HEADER_MOST * 64 || *offset < 2 * header->size ||
        (*sector != SECTOR && *sector != CRYPT_SECTOR))
        return failed(failure,
                      "its contents are encrypted in a way that this system does not open");
    return 0;
}

int sealed_root_map(const struct sealed_root *root, const char *name, const char *node,
                    uint64_t size, struct failure *failure)
{
    char description[64], parameters[MAPPER_PARAMETERS], path[64], link[128];
    uint64_t offset = SLOT_DATA, sector = CRYPT_SECTOR;
    /* What was just made has not been read back. */
    if (root->header.root && sealed_root_segment(&root->header, &offset, &sector, failure) < 0)
        return -1;
    if (size <= offset)
        return failed(failure, "it has no room for contents");
    snprintf(description, sizeof description, "compos:%.40s", name);
    if (sealed_root_lend(root, description, failure) < 0)
        return -1;
    snprintf(parameters, sizeof parameters,
             "aes-xts-plain64 :%d:logon:%s 0 %s %llu 1 sector_size:%u", XTS_KEY, description, node,
             (unsigned long long)((root->start + offset) / SECTOR), (unsigned)sector);
    const struct mapper_target target = {.type = "crypt",
                                         .parameters = parameters,
                                         .sectors = (size - offset) / CRYPT_SECTOR *
                                                    (CRYPT_SECTOR / SECTOR)};
    if (mapper_make(name, &target, path, sizeof path, failure) < 0)
        return -1;
    snprintf(link, sizeof link, "/dev/mapper/%.64s", name);
    unlink(link);
    if (symlink(path, link) < 0) {
        mapper_remove(name);
        return failed_errno(failure, "%s", link);
    }
    return 0;
}
