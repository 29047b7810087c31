/*
 * slot.c: see slot.h.
 *
 * Source: cryptsetup, docs/on-disk-format-luks2.pdf, 3.2 (key slots), 3.4 (digests).
 */
#include "luks/slot.h"

#include "disk/bytes.h"
#include "luks/stripes.h"
#include "seal/base64.h"
#include "seal/hmac256.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    AREAS = 32 << 10, /* behind two copies of the header */
    AREA = 252 << 10, /* STRIPES_SIZE in whole blocks of 4096 bytes */
    ROUNDS = 1000,    /* passphrases are random: deriving them slowly would protect nothing */
    MOST_ROUNDS = 16 << 20,
    MOST_AREA = 64 << 20,
    MOST_SALT = 64,
    SALT = 32
};

#define CIPHER "aes-xts-plain64"

/* How a passphrase, or the key, becomes other bytes. */
struct slot_stretch {
    unsigned char salt[MOST_SALT];
    size_t size;
    unsigned rounds;
};

static bool slot_is(const struct json *object, const char *path, const char *expected)
{
    const struct json *found = json_string(object, path);
    return found && strcmp(found->text, expected) == 0;
}

static bool slot_read_stretch(const struct json *object, struct slot_stretch *stretch)
{
    const struct json *salt = json_string(object, "salt");
    uint64_t rounds = header_number(object, "iterations", MOST_ROUNDS);
    if (!slot_is(object, "type", "pbkdf2") || !slot_is(object, "hash", "sha256") || !salt ||
        rounds < 1 || rounds > MOST_ROUNDS)
        return false;
    ssize_t size = base64_read(salt->text, salt->length, stretch->salt, sizeof stretch->salt);
    stretch->size = size < 0 ? 0 : (size_t)size;
    stretch->rounds = (unsigned)rounds;
    return size > 0;
}

static bool slot_lists(const struct json *list, const char *key)
{
    const struct json *at = list && list->type == JSON_ARRAY ? list->first : NULL;
    while (at && (at->type != JSON_STRING || strcmp(at->text, key) != 0))
        at = at->next;
    return at;
}

/* Whether a digest of the header that counts for the slot is the key's. */
static bool slot_is_right(const struct header *header, const struct json *slot,
                          const unsigned char key[XTS_KEY])
{
    const struct json *digests = json_member(header->root, "digests");
    unsigned char expected[SHA256_SIZE + 1], digest[SHA256_SIZE];
    struct slot_stretch stretch;
    for (const struct json *at = digests ? digests->first : NULL; at; at = at->next) {
        const struct json *text = json_string(at, "digest");
        if (!text || !slot_lists(json_member(at, "keyslots"), slot->key) ||
            !slot_read_stretch(at, &stretch) ||
            base64_read(text->text, text->length, expected, sizeof expected) != sizeof digest)
            continue;
        hmac256_stretch(key, XTS_KEY, stretch.salt, stretch.size, stretch.rounds, digest,
                        sizeof digest);
        if (memcmp(digest, expected, sizeof digest) == 0)
            return true;
    }
    return false;
}

int slot_open(int device, uint64_t start, const struct header *header, const struct json *slot,
              const char *passphrase, unsigned char key[XTS_KEY], struct failure *failure)
{
    const struct json *area = json_member(slot, "area"), *af = json_member(slot, "af");
    struct slot_stretch stretch;
    unsigned char derived[XTS_KEY];
    uint64_t offset = header_number(area, "offset", MOST_AREA);
    if (!slot_is(slot, "type", "luks2") || header_number(slot, "key_size", XTS_KEY) != XTS_KEY ||
        !slot_is(area, "type", "raw") || !slot_is(area, "encryption", CIPHER) ||
        header_number(area, "key_size", XTS_KEY) != XTS_KEY || !slot_is(af, "type", "luks1") ||
        !slot_is(af, "hash", "sha256") ||
        header_number(af, "stripes", STRIPES_COUNT) != STRIPES_COUNT || offset < 2 * header->size ||
        offset > MOST_AREA || !slot_read_stretch(json_member(slot, "kdf"), &stretch))
        return failed(failure, "key slot %.16s is of a kind that this system does not open",
                      slot->key);
    unsigned char *stripes = malloc(STRIPES_SIZE);
    if (!stripes || read_at(device, stripes, STRIPES_SIZE, start + offset) < 0) {
        free(stripes);
        return failed_errno(failure, "key slot %.16s", slot->key);
    }
    hmac256_stretch(passphrase, strlen(passphrase), stretch.salt, stretch.size, stretch.rounds,
                    derived, sizeof derived);
    xts_decrypt(derived, stripes, STRIPES_SIZE / XTS_SECTOR);
    stripes_merge(stripes, key);
    explicit_bzero(stripes, STRIPES_SIZE);
    explicit_bzero(derived, sizeof derived);
    free(stripes);
    if (slot_is_right(header, slot, key))
        return 0;
    explicit_bzero(key, XTS_KEY);
    return failed(failure, "the key does not open it");
}

static int slot_random(unsigned char salt[SALT], char text[BASE64_TEXT(SALT)],
                       struct failure *failure)
{
    if (getrandom(salt, SALT, 0) != SALT)
        return failed_errno(failure, "getrandom");
    base64_write(salt, SALT, text);
    return 0;
}

int slot_make(int device, uint64_t start, int number, const char *passphrase,
              const unsigned char key[XTS_KEY], char text[SLOT_TEXT], struct failure *failure)
{
    unsigned char salt[SALT], derived[XTS_KEY];
    char salt_text[BASE64_TEXT(SALT)];
    unsigned offset = AREAS + (unsigned)number * AREA;
    if (number >= SLOT_COUNT)
        return failed(failure, "no key slot is free");
    unsigned char *stripes = malloc(STRIPES_SIZE);
    if (!stripes)
        return failed_errno(failure, "a key slot");
    int status = slot_random(salt, salt_text, failure);
    if (status == 0)
        status = stripes_split(key, stripes, failure);
    if (status == 0) {
        hmac256_stretch(passphrase, strlen(passphrase), salt, sizeof salt, ROUNDS, derived,
                        sizeof derived);
        xts_encrypt(derived, stripes, STRIPES_SIZE / XTS_SECTOR);
        explicit_bzero(derived, sizeof derived);
        if (write_at(device, stripes, STRIPES_SIZE, start + offset) < 0 || fdatasync(device) < 0)
            status = failed_errno(failure, "a key slot");
    }
    explicit_bzero(stripes, STRIPES_SIZE);
    free(stripes);
    snprintf(text, SLOT_TEXT,
             "\"%d\":{\"type\":\"luks2\",\"key_size\":%d,"
             "\"af\":{\"type\":\"luks1\",\"stripes\":%d,\"hash\":\"sha256\"},"
             "\"area\":{\"type\":\"raw\",\"offset\":\"%u\",\"size\":\"%d\","
             "\"encryption\":\"" CIPHER "\",\"key_size\":%d},"
             "\"kdf\":{\"type\":\"pbkdf2\",\"hash\":\"sha256\",\"iterations\":%d,"
             "\"salt\":\"%s\"}}",
             number, XTS_KEY, STRIPES_COUNT, offset, AREA, XTS_KEY, ROUNDS, salt_text);
    return status;
}

void slot_forget(int device, uint64_t start, const struct header *header, const struct json *slot)
{
    uint64_t offset = header_number(json_member(slot, "area"), "offset", MOST_AREA);
    uint64_t size = header_number(json_member(slot, "area"), "size", AREA);
    static const unsigned char zeros[4096];
    if (offset < 2 * header->size || offset > MOST_AREA || size > AREA)
        return;
    for (uint64_t done = 0; done + sizeof zeros <= size; done += sizeof zeros)
        if (write_at(device, zeros, sizeof zeros, start + offset + done) < 0)
            return;
    fdatasync(device);
}

int slot_digest(const unsigned char key[XTS_KEY], const char *slots, char text[SLOT_TEXT],
                struct failure *failure)
{
    unsigned char salt[SALT], digest[SHA256_SIZE];
    char salt_text[BASE64_TEXT(SALT)], digest_text[BASE64_TEXT(SHA256_SIZE)];
    if (slot_random(salt, salt_text, failure) < 0)
        return -1;
    hmac256_stretch(key, XTS_KEY, salt, sizeof salt, ROUNDS, digest, sizeof digest);
    base64_write(digest, sizeof digest, digest_text);
    snprintf(text, SLOT_TEXT,
             "\"0\":{\"type\":\"pbkdf2\",\"keyslots\":[%s],\"segments\":[\"0\"],"
             "\"hash\":\"sha256\",\"iterations\":%d,\"salt\":\"%s\",\"digest\":\"%s\"}",
             slots, ROUNDS, salt_text, digest_text);
    return 0;
}
