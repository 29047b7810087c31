/*
 * platform.c: see platform.h.
 *
 * Source: UAPI group, "Linux TPM PCR Registry" (what is measured into which PCR).
 */
#include "seal/platform.h"

#include "base/files.h"
#include "base/variables.h"
#include "disk/report.h"
#include "seal/tpm12.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE "/sys/class/tpm/tpm0/pcr-sha256/%u"

#define OLD_TPM "/dev/tpm0"

enum { BOOT_PROGRAMS = 4, SYSTEM = 11, PCRS = 16, VALUE_SIZE = 65, STUB_INFO = 256 };

static const char *const platform_meanings[PCRS] = {
    [0] = "the firmware's code",
    [1] = "the firmware's settings, its boot order, or the hardware",
    [2] = "option ROMs",
    [3] = "settings of option ROMs",
    [4] = "the boot programs, or which of them the firmware has tried",
    [5] = "the partition table",
    [6] = "the firmware's own events",
    [7] = "Secure Boot: whether it is on, its keys, or the key that has signed the system",
    [9] = "command line or initrd",
    [11] = "the system: kernel, initrd, command line, or another stub",
    [12] = "a command line or configuration from outside the system",
};

bool platform_has_tpm(bool is_tpm12)
{
    bool is_tpm20 = access("/dev/tpmrm0", R_OK | W_OK) == 0;
    return is_tpm12 ? !is_tpm20 && access("/dev/tpm0", R_OK | W_OK) == 0 : is_tpm20;
}

/* Of a TPM 1.2; empty where it cannot be read. */
static void platform_old_value(unsigned pcr, char value[VALUE_SIZE])
{
    unsigned char bytes[SHA1_SIZE];
    struct failure failure;
    *value = 0;
    int device = tpm_open(OLD_TPM, &failure);
    if (device < 0)
        return;
    if (tpm12_pcr(device, pcr, bytes, &failure) == 0)
        for (size_t i = 0; i < sizeof bytes; i++)
            sprintf(value + 2 * i, "%02x", bytes[i]);
    close(device);
}

/* In lower case hexadecimal; empty where the TPM has no such bank. */
static void platform_value(unsigned pcr, char value[VALUE_SIZE])
{
    char path[64];
    snprintf(path, sizeof path, VALUE, pcr);
    if (platform_has_tpm(true))
        platform_old_value(pcr, value);
    else if (file_line(path, value, VALUE_SIZE) < 0)
        *value = 0;
    for (char *digit = value; *digit; digit++)
        *digit = (char)tolower((unsigned char)*digit);
}

bool platform_member(const char *token, const char *name, char *value, size_t size)
{
    char key[32];
    snprintf(key, sizeof key, "\"%s\":\"", name);
    const char *found = strstr(token, key);
    if (!found)
        return false;
    found += strlen(key);
    size_t length = strcspn(found, "\"");
    if (length >= size)
        return false;
    memcpy(value, found, length);
    value[length] = 0;
    return true;
}

static bool platform_is_bound(const char *bound, unsigned pcr)
{
    while (*bound) {
        char *end;
        if (strtoul(bound, &end, 10) == pcr && end > bound)
            return true;
        bound = *end ? end + 1 : end;
    }
    return false;
}

int platform_record(const char *pcrs, bool others, char token[PLATFORM_TOKEN],
                    struct failure *failure)
{
    char value[VALUE_SIZE];
    size_t length =
        (size_t)snprintf(token, PLATFORM_TOKEN,
                         "{\"type\":\"" PLATFORM_TYPE "\",\"keyslots\":[],\"bound\":\"%s\"", pcrs);
    for (unsigned pcr = 0; pcr < PCRS && length < PLATFORM_TOKEN; pcr++) {
        if (!others && !platform_is_bound(pcrs, pcr))
            continue;
        platform_value(pcr, value);
        length += (size_t)snprintf(token + length, PLATFORM_TOKEN - length, ",\"pcr%u\":\"%s\"",
                                   pcr, value);
    }
    if (length + sizeof "}" > PLATFORM_TOKEN)
        return failed(failure, "the list of PCRs is too long");
    strcpy(token + length, "}");
    return 0;
}

/* The first byte of a variable of the firmware; -1 without it. */
static int platform_variable(const char *name, const char *vendor)
{
    unsigned char bytes[STUB_INFO];
    return variables_read(name, vendor, bytes, sizeof bytes) > 0 ? bytes[0] : -1;
}

int platform_check(const char *pcrs, bool is_tpm12, struct failure *failure)
{
    if (!platform_has_tpm(is_tpm12))
        return failed(failure, "this machine has no TPM %s, to which the key can be sealed",
                      is_tpm12 ? "1.2" : "2.0");
    /* The stub measures nothing into a TPM 1.2; the firmware has measured it with all its parts. */
    if (platform_variable(is_tpm12 ? "StubInfo" : "StubPcrKernelImage", VARIABLES_LOADER) < 0)
        return failed(failure,
                      "the system was not started as a unified kernel image whose stub has "
                      "measured it: any other system could open the partition");
    if (platform_variable("SecureBoot", VARIABLES_GLOBAL) != 1 &&
        !platform_is_bound(pcrs, BOOT_PROGRAMS))
        return failed(failure, "Secure Boot is off, and the key is not bound to PCR 4: any other "
                               "system could open the partition");
    return 0;
}

/* How many of the PCRs that count are not what they were. */
static unsigned platform_compare(const char *program, const char *token, const char *bound)
{
    char name[16], value[VALUE_SIZE], recorded[VALUE_SIZE];
    unsigned different = 0;
    for (unsigned pcr = 0; pcr < PCRS; pcr++) {
        snprintf(name, sizeof name, "pcr%u", pcr);
        platform_value(pcr, value);
        if (!platform_member(token, name, recorded, sizeof recorded) ||
            strcmp(value, recorded) == 0)
            continue;
        bool counts = platform_is_bound(bound, pcr);
        different += counts;
        /* What was recorded comes from the disk: it is not shown. */
        if (counts || pcr == SYSTEM)
            report(program, "PCR %u is not what it was: %s%s", pcr,
                   platform_meanings[pcr] ? platform_meanings[pcr] : "unknown",
                   counts ? "" : " (if the system's key has not signed it)");
    }
    return different;
}

void platform_explain(const char *program, const char *token, bool is_tpm12)
{
    char bound[64];
    if (!platform_has_tpm(is_tpm12))
        report(program, "this machine has no TPM %s", is_tpm12 ? "1.2" : "2.0");
    else if (!token || !platform_member(token, "bound", bound, sizeof bound))
        report(program, "no PCRs are recorded");
    else if (platform_compare(program, token, bound) == 0)
        report(program,
               "what the key is bound to by value is as it was: this is another TPM, or it was "
               "cleared, or the system is not signed for this key");
}
