/*
 * firmware.c: see firmware.h.
 *
 * Sources: UEFI specification 2.10, 8.2.2 (EFI_VARIABLE_AUTHENTICATION_2), 32.3 (setup mode, who
 * signs what), 32.4.1 (signature lists).
 */
#include "firmware.h"

#include "base/files.h"
#include "base/variables.h"
#include "disk/bytes.h"
#include "disk/report.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TIME_SIZE = 16,
    /* WIN_CERTIFICATE_UEFI_GUID: length, revision, type, the GUID of PKCS #7 */
    CERTIFICATE_HEADER = 24,
    REVISION = 0x0200,
    EFI_GUID = 0x0EF1,
    LIST_HEADER = 28, /* EFI_SIGNATURE_LIST */
    MOST = 64 << 10
};

#define firmware_say(...) report("installer", __VA_ARGS__)

/* PK is the last one: it ends setup mode. */
static const struct firmware_variable {
    const char *name, *vendor;
} firmware_variables[FIRMWARE_KEYS] = {
    {"db", VARIABLES_SECURITY},
    {"KEK", VARIABLES_GLOBAL},
    {"PK", VARIABLES_GLOBAL},
};

/* A file of the medium; NULL with a failure, which is empty if there is none. */
static uint8_t *firmware_file(const char *folder, const char *name, size_t *size,
                              struct failure *failure)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    uint8_t *bytes = (uint8_t *)file_read(path, MOST, size);
    *failure->text = 0;
    if (!bytes && errno != ENOENT)
        failed_errno(failure, "%s", path);
    return bytes;
}

/* Where the contents of an update begin; 0 if it is none. */
static size_t firmware_contents(const uint8_t *update, size_t size)
{
    if (size < TIME_SIZE + CERTIFICATE_HEADER + LIST_HEADER)
        return 0;
    const uint8_t *certificate = update + TIME_SIZE;
    size_t length = little32(certificate);
    if (length <= CERTIFICATE_HEADER || length > size - TIME_SIZE - LIST_HEADER ||
        little16(certificate + 4) != REVISION || little16(certificate + 6) != EFI_GUID)
        return 0;
    const uint8_t *list = update + TIME_SIZE + length;
    for (size_t left = size - TIME_SIZE - length; left > 0;) {
        size_t whole = left < LIST_HEADER ? 0 : little32(list + 16);
        if (whole <= LIST_HEADER || whole > left)
            return 0;
        left -= whole;
        list += whole;
    }
    return TIME_SIZE + length;
}

/* 1 with all keys, 0 where the medium has none, -1. */
static int firmware_read_keys(struct firmware *firmware, const char *folder,
                              struct failure *failure)
{
    size_t found = 0;
    for (size_t index = 0; index < FIRMWARE_KEYS; index++) {
        struct firmware_key *key = &firmware->keys[index];
        char file[16];
        key->name = firmware_variables[index].name;
        snprintf(file, sizeof file, "%s.auth", key->name);
        key->update = firmware_file(folder, file, &key->size, failure);
        if (!key->update && *failure->text)
            return -1;
        if (!key->update)
            continue;
        found++;
        key->contents = firmware_contents(key->update, key->size);
        if (key->contents == 0)
            return failed(failure,
                          "the installer's medium is damaged: %s is cut off or no "
                          "update of a variable",
                          file);
    }
    if (found % FIRMWARE_KEYS != 0)
        return failed(failure, "the installer's medium is damaged: it has some keys, but not all");
    return found > 0;
}

/* A variable of one byte; -1 without it. */
static int firmware_flag(const char *name)
{
    uint8_t flag;
    return variables_read(name, VARIABLES_GLOBAL, &flag, 1) == 1 ? flag : -1;
}

/* Whether db has the certificate that the system is signed for. */
static bool firmware_knows(const uint8_t *certificate, size_t size)
{
    static uint8_t db[MOST];
    ssize_t length = variables_read("db", VARIABLES_SECURITY, db, sizeof db);
    /* No other entry has a whole certificate in it. */
    return length > 0 && memmem(db, (size_t)length, certificate, size) != NULL;
}

/* In setup mode. What is in db already goes: an option ROM may have been verified by it. */
static void firmware_plan_keys(struct firmware *firmware)
{
    static uint8_t db[MOST];
    const struct firmware_key *key = &firmware->keys[0];
    ssize_t length = variables_read(key->name, VARIABLES_SECURITY, db, sizeof db);
    bool is_other = length > 0 && ((size_t)length != key->size - key->contents ||
                                   memcmp(db, key->update + key->contents, (size_t)length) != 0);
    firmware->plan = FIRMWARE_ENROL;
    firmware_say("the firmware is in setup mode: the keys of this system are enrolled before "
                 "anything is written to a disk (db, KEK, PK); from its next start, it starts "
                 "only what they have signed");
    if (is_other)
        firmware_say("other keys in its db (%zd bytes) are replaced", length);
}

static int firmware_judge(struct firmware *firmware, const uint8_t *certificate, size_t size,
                          bool has_keys, struct failure *failure)
{
    int setup = firmware_flag("SetupMode");
    bool enforces = firmware_flag("SecureBoot") == 1;
    if (setup < 0)
        firmware_say("the firmware shows no Secure Boot: it is left as it is, and starts anything");
    else if (setup == 1 && has_keys)
        firmware_plan_keys(firmware);
    else if (setup == 1)
        firmware_say("the firmware is in setup mode, and this medium has no keys to enrol: it is "
                     "left as it is, and starts anything");
    else if (firmware_knows(certificate, size))
        firmware_say("the firmware has the key of this system, and %s; it is left as it is",
                     enforces ? "enforces Secure Boot" : "Secure Boot is off: turn it on");
    else if (enforces)
        return failed(failure, "the firmware enforces Secure Boot with other keys: it would not "
                               "start this system. Enrol its keys, or clear those of the firmware "
                               "in its menu (setup mode), and start the installer again");
    else
        firmware_say("the firmware has other keys, and Secure Boot is off; it is left as it is. "
                     "For Secure Boot, clear its keys in its menu (setup mode) and install again");
    return 0;
}

int firmware_look(struct firmware *firmware, const char *folder, struct failure *failure)
{
    size_t size;
    *firmware = (struct firmware){.plan = FIRMWARE_LEAVE};
    uint8_t *certificate = firmware_file(folder, "db.der", &size, failure);
    if (!certificate)
        return *failure->text ? -1 : 0;
    int status = size == 0 ? failed(failure, "the installer's medium is damaged: db.der is empty")
                           : firmware_read_keys(firmware, folder, failure);
    if (status >= 0)
        status = firmware_judge(firmware, certificate, size, status > 0, failure);
    free(certificate);
    return status;
}

static bool firmware_has(const struct firmware_variable *variable, const struct firmware_key *key)
{
    static uint8_t bytes[MOST];
    ssize_t length = variables_read(variable->name, variable->vendor, bytes, sizeof bytes);
    return length > 0 && (size_t)length == key->size - key->contents &&
           memcmp(bytes, key->update + key->contents, (size_t)length) == 0;
}

static int firmware_enrol_one(const struct firmware_variable *variable,
                              const struct firmware_key *key, struct failure *failure)
{
    /* Firmware may refuse what it has, for an update has to be newer. */
    if (firmware_has(variable, key)) {
        firmware_say("firmware: %s is there already", variable->name);
        return 0;
    }
    if (variables_update(variable->name, variable->vendor, key->update, key->size) < 0)
        return errno == ENOSPC ? failed(failure,
                                        "the firmware has no room for %s (%zu bytes): its store "
                                        "of variables is full",
                                        variable->name, key->size)
                               : failed_errno(failure, "the firmware refuses %s", variable->name);
    if (!firmware_has(variable, key))
        return failed(failure, "the firmware has taken %s, but does not have it", variable->name);
    firmware_say("firmware: %s is enrolled", variable->name);
    return 0;
}

int firmware_enrol(struct firmware *firmware, struct failure *failure)
{
    if (firmware->plan != FIRMWARE_ENROL)
        return 0;
    /* Somebody may have chosen a disk for hours. */
    if (firmware_flag("SetupMode") != 1)
        return failed(failure, "the firmware is no longer in setup mode");
    for (size_t index = 0; index < FIRMWARE_KEYS; index++)
        if (firmware_enrol_one(&firmware_variables[index], &firmware->keys[index], failure) < 0)
            return -1;
    if (firmware_flag("SetupMode") != 0)
        return failed(failure, "the firmware has the keys, but stays in setup mode");
    firmware->plan = FIRMWARE_LEAVE;
    firmware_say("the firmware has the keys of this system, and enforces them from its next start");
    return 0;
}
