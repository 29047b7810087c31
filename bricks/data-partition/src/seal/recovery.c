/*
 * recovery.c: see recovery.h.
 *
 * Source: systemd, src/shared/recovery-key.c (letters that are on the same keys of most keyboards).
 */
#include "seal/recovery.h"

#include <stddef.h>
#include <string.h>
#include <sys/random.h>

static const char recovery_letters[] = "cbdefghijklnrtuv";

int recovery_make(char text[RECOVERY_TEXT], struct failure *failure)
{
    unsigned char bytes[RECOVERY_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return failed_errno(failure, "getrandom");
    for (size_t i = 0; i < sizeof bytes; i++) {
        *text++ = recovery_letters[bytes[i] >> 4];
        *text++ = recovery_letters[bytes[i] & 15];
        if (i % RECOVERY_GROUP == RECOVERY_GROUP - 1)
            *text++ = '-';
    }
    text[-1] = 0;
    explicit_bzero(bytes, sizeof bytes);
    return 0;
}
