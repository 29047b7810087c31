/*
 * header.c: see header.h.
 *
 * Source: cryptsetup, docs/on-disk-format-luks2.pdf, 2.1 (the binary header), 2.2 (where the second
 * copy may be), 3 (the JSON).
 */
#include "luks/header.h"

#include "disk/bytes.h"
#include "disk/sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    BINARY = 4096,
    LEAST = 16 << 10,
    MAGIC = 6,
    VERSION_AT = 6,
    SIZE_AT = 8,
    SEQUENCE_AT = 16,
    ALGORITHM_AT = 72,
    SALT_AT = 104,
    SALT = 64,
    UUID_AT = 168,
    UUID_SIZE = 40,
    OFFSET_AT = 256,
    CHECKSUM_AT = 448
};

static const char *const header_magic[] = {"LUKS\xba\xbe", "SKUL\xba\xbe"};

static void header_checksum(const uint8_t *bytes, size_t size, uint8_t digest[SHA256_SIZE])
{
    static const uint8_t zeros[SHA256_SIZE * 2];
    struct sha256 hash;
    sha256_begin(&hash);
    sha256_add(&hash, bytes, CHECKSUM_AT);
    sha256_add(&hash, zeros, sizeof zeros);
    sha256_add(&hash, bytes + CHECKSUM_AT + sizeof zeros, size - CHECKSUM_AT - sizeof zeros);
    sha256_end(&hash, digest);
}

/* The size of a copy whose first BINARY bytes are these; 0 if they are none. */
static size_t header_size(const uint8_t *bytes, bool is_second, uint64_t offset)
{
    uint64_t size = big64(bytes + SIZE_AT);
    if (memcmp(bytes, header_magic[is_second], MAGIC) != 0 || bytes[VERSION_AT] != 0 ||
        bytes[VERSION_AT + 1] != 2 || strncmp((const char *)bytes + ALGORITHM_AT, "sha256", 7) != 0)
        return 0;
    if (size < LEAST || size > HEADER_MOST || size & (size - 1) ||
        big64(bytes + OFFSET_AT) != offset || (is_second && offset != size))
        return 0;
    return (size_t)size;
}

/* All of a copy, to be freed; NULL if it is not whole. */
static uint8_t *header_copy(int device, uint64_t start, bool is_second, uint64_t offset)
{
    uint8_t binary[BINARY], digest[SHA256_SIZE];
    if (read_at(device, binary, sizeof binary, start + offset) < 0)
        return NULL;
    size_t size = header_size(binary, is_second, offset);
    uint8_t *bytes = size > 0 ? malloc(size) : NULL;
    if (!bytes)
        return NULL;
    if (read_at(device, bytes, size, start + offset) == 0) {
        header_checksum(bytes, size, digest);
        /* What was read the second time is what counts. */
        if (header_size(bytes, is_second, offset) == size &&
            memcmp(digest, bytes + CHECKSUM_AT, sizeof digest) == 0)
            return bytes;
    }
    free(bytes);
    return NULL;
}

/* Of the two copies the later one. */
static uint8_t *header_latest(int device, uint64_t start)
{
    uint8_t *first = header_copy(device, start, false, 0), *second = NULL;
    uint64_t offset = first ? big64(first + SIZE_AT) : LEAST;
    do
        second = header_copy(device, start, true, offset);
    while (!first && !second && (offset *= 2) <= HEADER_MOST);
    bool takes_second =
        second && (!first || big64(second + SEQUENCE_AT) > big64(first + SEQUENCE_AT));
    free(takes_second ? first : second);
    return takes_second ? second : first;
}

int header_read(int device, uint64_t start, struct header *header, struct failure *failure)
{
    *header = (struct header){0};
    uint8_t *bytes = header_latest(device, start);
    if (!bytes)
        return failed(failure, "it has no whole LUKS2 header");
    header->size = (size_t)big64(bytes + SIZE_AT);
    header->sequence = big64(bytes + SEQUENCE_AT);
    memcpy(header->uuid, bytes + UUID_AT, sizeof header->uuid - 1);
    size_t length = strnlen((const char *)bytes + BINARY, header->size - BINARY);
    header->text = malloc(length + 1);
    if (header->text) {
        memcpy(header->text, bytes + BINARY, length);
        header->text[length] = 0;
        header->root = json_parse(header->text, length, failure);
    } else
        failed_errno(failure, "the LUKS2 header");
    free(bytes);
    if (header->root)
        return 0;
    header_free(header);
    return -1;
}

int header_read_node(const char *node, struct header *header, struct failure *failure)
{
    struct failure reason;
    int device = open(node, O_RDONLY | O_CLOEXEC);
    *header = (struct header){0};
    if (device < 0)
        return failed_errno(failure, "%s", node);
    int status = header_read(device, 0, header, &reason);
    close(device);
    return status < 0 ? failed(failure, "%s: %s", node, reason.text) : 0;
}

void header_free(struct header *header)
{
    json_free(header->root);
    free(header->text);
    *header = (struct header){0};
}

static void header_put_big64(uint8_t *bytes, uint64_t number)
{
    for (size_t i = 0; i < sizeof number; i++)
        bytes[i] = (uint8_t)(number >> (56 - 8 * i));
}

int header_write(int device, uint64_t start, struct header *header, const char *text,
                 struct failure *failure)
{
    size_t length = strlen(text);
    if (length >= header->size - BINARY)
        return failed(failure, "the LUKS2 header has no room");
    uint8_t *bytes = calloc(1, header->size);
    if (!bytes)
        return failed_errno(failure, "the LUKS2 header");
    bytes[VERSION_AT + 1] = 2;
    header_put_big64(bytes + SIZE_AT, header->size);
    header_put_big64(bytes + SEQUENCE_AT, ++header->sequence);
    strcpy((char *)bytes + ALGORITHM_AT, "sha256");
    snprintf((char *)bytes + UUID_AT, UUID_SIZE, "%s", header->uuid);
    memcpy(bytes + BINARY, text, length);
    int status = 0;
    for (int copy = 1; copy >= 0 && status == 0; copy--) {
        uint64_t offset = copy ? header->size : 0;
        memcpy(bytes, header_magic[copy], MAGIC);
        header_put_big64(bytes + OFFSET_AT, offset);
        if (getrandom(bytes + SALT_AT, SALT, 0) != SALT)
            status = failed_errno(failure, "getrandom");
        header_checksum(bytes, header->size, bytes + CHECKSUM_AT);
        if (status == 0 &&
            (write_at(device, bytes, header->size, start + offset) < 0 || fdatasync(device) < 0))
            status = failed_errno(failure, "the LUKS2 header");
    }
    free(bytes);
    return status;
}

const struct json *header_token(const struct header *header, const struct json *before,
                                const char *type)
{
    const struct json *tokens = json_member(header->root, "tokens");
    if (!tokens || tokens->type != JSON_OBJECT)
        return NULL;
    for (const struct json *at = before ? before->next : tokens->first; at; at = at->next) {
        const struct json *found = json_string(at, "type");
        if (found && strcmp(found->text, type) == 0)
            return at;
    }
    return NULL;
}

int header_unused(const struct header *header, const char *section)
{
    const struct json *all = json_member(header->root, section);
    for (int number = 0;; number++) {
        bool is_used = false;
        for (const struct json *at = all ? all->first : NULL; at; at = at->next)
            is_used |= at->key && atoi(at->key) == number;
        if (!is_used)
            return number;
    }
}

uint64_t header_number(const struct json *object, const char *name, uint64_t most)
{
    const struct json *member = json_member(object, name);
    if (!member || (member->type != JSON_NUMBER && member->type != JSON_STRING))
        return most + 1;
    uint64_t number = 0;
    size_t at = 0;
    for (; at < member->length && member->text[at] >= '0' && member->text[at] <= '9'; at++) {
        number = number * 10 + (uint64_t)(member->text[at] - '0');
        if (number > most)
            return most + 1;
    }
    return at > 0 && at == member->length ? number : most + 1;
}
