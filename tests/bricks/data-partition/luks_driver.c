/*
 * luks_driver.c: what opens and makes volumes without cryptsetup, one step a call; bytes are
 * hexadecimal, "-" stands for none.
 */
#include "base/files.h"
#include "hexadecimal.h"
#include "luks/sealed_root.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_BYTES = 8192 };

/* KEY SECTORS: encrypted, and that decrypted. */
static int driver_sectors(char *arguments[])
{
    unsigned char key[MOST_BYTES], bytes[MOST_BYTES];
    driver_read(arguments[0], key, sizeof key);
    size_t size = driver_read(arguments[1], bytes, sizeof bytes);
    xts_encrypt(key, bytes, size / XTS_SECTOR);
    driver_show(bytes, size);
    xts_decrypt(key, bytes, size / XTS_SECTOR);
    return driver_show(bytes, size);
}

static int driver_begin(struct sealed_root *root, char *const arguments[], struct failure *failure)
{
    *root = (struct sealed_root){.device = open(arguments[0], O_RDWR | O_CLOEXEC),
                                 .start = strtoull(arguments[1], NULL, 10)};
    return root->device < 0 ? failed_errno(failure, "%s", arguments[0]) : 0;
}

/* FILE START PASSPHRASE: the volume's key. */
static int driver_open(char *arguments[], struct failure *failure)
{
    struct sealed_root root;
    if (driver_begin(&root, arguments, failure) < 0 ||
        header_read(root.device, root.start, &root.header, failure) < 0)
        return -1;
    int status = sealed_root_open(&root, arguments[2], failure);
    if (status == 0)
        driver_show(root.key, sizeof root.key);
    header_free(&root.header);
    return status;
}

/* FILE OTHER TPM PUBLIC-KEY RECOVERY: passphrase, recovery key, the volumes' keys. */
static int driver_make(char *arguments[], struct failure *failure)
{
    const struct sealed_root_system system = {arguments[2], NULL, arguments[3]};
    struct sealed_root_seal seal;
    if (sealed_root_seal(&system, strcmp(arguments[4], "yes") == 0, &seal, failure) < 0)
        return -1;
    printf("%s\n%s\n", seal.passphrase, seal.recovery);
    int status = 0;
    for (int i = 0; i < 2 && status == 0 && strcmp(arguments[i], "-") != 0; i++) {
        char *const places[] = {arguments[i], "0"};
        struct sealed_root root;
        status = driver_begin(&root, places, failure);
        if (status == 0)
            status = sealed_root_make(&root, &seal, failure);
        if (status == 0)
            driver_show(root.key, sizeof root.key);
    }
    sealed_root_wipe(&seal);
    return status;
}

/*
 * FILE OTHER TPM SIGNATURES PUBLIC-KEY RENEWS: passphrase, whether it is outdated, the volume's
 * key, and the other's, if it opens.
 */
static int driver_unseal(char *arguments[], struct failure *failure)
{
    const struct sealed_root_system system = {arguments[2], arguments[3], arguments[4]};
    char passphrase[SEALED20_PASSPHRASE];
    struct sealed_root first, other;
    struct sealed_root *const others[] = {&other}, *const both[] = {&first, &other};
    size_t count = strcmp(arguments[1], "-") != 0;
    unsigned opened;
    char *const places[] = {arguments[0], "0"}, *const other_places[] = {arguments[1], "0"};
    if (driver_begin(&first, places, failure) < 0 ||
        header_read(first.device, 0, &first.header, failure) < 0 ||
        (count && (driver_begin(&other, other_places, failure) < 0 ||
                   header_read(other.device, 0, &other.header, failure) < 0)))
        return -1;
    int status = sealed_root_unseal(&first, others, count, &system, passphrase, &opened, failure);
    if (status == 0) {
        printf("%s\n%s\n", passphrase,
               sealed_root_is_outdated(&first, &system) ? "outdated" : "current");
        driver_show(first.key, sizeof first.key);
        if (opened)
            driver_show(other.key, sizeof other.key);
        if (strcmp(arguments[5], "yes") == 0)
            status = sealed_root_renew(both, 1 + opened, &system, passphrase, failure);
    }
    header_free(&first.header);
    if (count)
        header_free(&other.header);
    return status;
}

static int driver_run(int count, char *arguments[], struct failure *failure)
{
    const char *verb = arguments[0];
    if (strcmp(verb, "sectors") == 0 && count == 3)
        return driver_sectors(arguments + 1);
    if (strcmp(verb, "open") == 0 && count == 4)
        return driver_open(arguments + 1, failure);
    if (strcmp(verb, "make") == 0 && count == 6)
        return driver_make(arguments + 1, failure);
    if (strcmp(verb, "unseal") == 0 && count == 7)
        return driver_unseal(arguments + 1, failure);
    return failed(failure, "usage");
}

int main(int count, char *arguments[])
{
    struct failure failure = {"refused"};
    if (count < 2)
        return 2;
    int status = driver_run(count - 1, arguments + 1, &failure);
    if (status < 0)
        fprintf(stderr, "%s\n", failure.text);
    return status < 0 ? 1 : 0;
}
