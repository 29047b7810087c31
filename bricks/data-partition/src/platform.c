/*
 * platform.c: see platform.h.
 *
 * Source: UAPI group, "Linux TPM PCR Registry" (what is measured into which PCR).
 */
#include "platform.h"

#include "base/files.h"
#include "disk/report.h"
#include "sealed12.h"
#include "token.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VALUE "/sys/class/tpm/tpm0/pcr-sha256/%u"
#define TOKEN_TYPE "compos-pcrs"

#define EFIVARS "/firmware/efi/efivars/"
#define MEASURED EFIVARS "StubPcrKernelImage-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#define STUB EFIVARS "StubInfo-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#define SECURE_BOOT EFIVARS "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

enum { BOOT_PROGRAMS = 4, SYSTEM = 11, PCRS = 16, VALUE_SIZE = 65, MAX_TOKEN = 4 << 10 };

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

/* In lower case hexadecimal; empty where the TPM has no such bank. */
static void platform_value(unsigned pcr, char value[VALUE_SIZE])
{
    char path[64];
    snprintf(path, sizeof path, VALUE, pcr);
    if (platform_has_tpm(true))
        sealed12_pcr(pcr, value, VALUE_SIZE);
    else if (file_line(path, value, VALUE_SIZE) < 0)
        *value = 0;
    for (char *digit = value; *digit; digit++)
        *digit = (char)tolower((unsigned char)*digit);
}

int platform_record(const char *node, const char *pcrs, struct failure *failure)
{
    char token[MAX_TOKEN], value[VALUE_SIZE];
    size_t length = (size_t)snprintf(
        token, sizeof token, "{\"type\":\"" TOKEN_TYPE "\",\"keyslots\":[],\"bound\":\"%s\"", pcrs);
    for (unsigned pcr = 0; pcr < PCRS && length < sizeof token; pcr++) {
        platform_value(pcr, value);
        length += (size_t)snprintf(token + length, sizeof token - length, ",\"pcr%u\":\"%s\"", pcr,
                                   value);
    }
    if (length + sizeof "}" > sizeof token)
        return failed(failure, "the list of PCRs is too long");
    strcpy(token + length, "}");
    return token_write(node, TOKEN_PCRS, token, failure);
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

/* The first byte of an EFI variable's contents, behind its attributes; -1 without it. */
static int platform_variable(const char *path)
{
    unsigned char bytes[5];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, bytes, sizeof bytes);
    if (file >= 0)
        close(file);
    return length == sizeof bytes ? bytes[4] : -1;
}

int platform_check(const char *pcrs, bool is_tpm12, struct failure *failure)
{
    if (!platform_has_tpm(is_tpm12))
        return failed(failure, "this machine has no TPM %s, to which the key can be sealed",
                      is_tpm12 ? "1.2" : "2.0");
    /* The stub measures nothing into a TPM 1.2; the firmware has measured it with all its parts. */
    if (platform_variable(is_tpm12 ? STUB : MEASURED) < 0)
        return failed(failure,
                      "the system was not started as a unified kernel image whose stub has "
                      "measured it: any other system could open the partition");
    if (platform_variable(SECURE_BOOT) != 1 && !platform_is_bound(pcrs, BOOT_PROGRAMS))
        return failed(failure, "Secure Boot is off, and the key is not bound to PCR 4: any other "
                               "system could open the partition");
    return 0;
}

/* How many of the PCRs that count are not what they were. */
static unsigned platform_compare(const char *token, const char *bound)
{
    char name[16], value[VALUE_SIZE], recorded[VALUE_SIZE];
    unsigned different = 0;
    for (unsigned pcr = 0; pcr < PCRS; pcr++) {
        snprintf(name, sizeof name, "pcr%u", pcr);
        platform_value(pcr, value);
        if (!token_member(token, name, recorded, sizeof recorded) || strcmp(value, recorded) == 0)
            continue;
        bool counts = platform_is_bound(bound, pcr);
        different += counts;
        /* What was recorded comes from the disk: it is not shown. */
        if (counts || pcr == SYSTEM)
            report("data-partition", "PCR %u is not what it was: %s%s", pcr,
                   platform_meanings[pcr] ? platform_meanings[pcr] : "unknown",
                   counts ? "" : " (if the system's key has not signed it)");
    }
    return different;
}

void platform_explain(const char *node, bool is_tpm12)
{
    char bound[64];
    if (!platform_has_tpm(is_tpm12)) {
        report("data-partition", "this machine has no TPM %s", is_tpm12 ? "1.2" : "2.0");
        return;
    }
    char *token = token_read(node, TOKEN_PCRS);
    if (!token || !token_member(token, "bound", bound, sizeof bound))
        report("data-partition", "no PCRs are recorded");
    else if (platform_compare(token, bound) == 0)
        report("data-partition",
               "what the key is bound to by value is as it was: this is another TPM, or it was "
               "cleared, or the system is not signed for this key");
    free(token);
}
