/*
 * platform.h: the TPM's PCRs: what they were when the key was sealed, and which of them differ.
 *
 * The values stand in a token of the LUKS2 header, beside those of systemd's types. Nothing trusts
 * them: the TPM decides, and they explain.
 */
#ifndef COMPOS_PLATFORM_H
#define COMPOS_PLATFORM_H

#include "base/failure.h"

#include <stdbool.h>
#include <stddef.h>

#define PLATFORM_TYPE "compos-pcrs"

enum { PLATFORM_TOKEN = 4 << 10 };

/* `is_tpm12`: a TPM 1.2 is asked for, not a TPM 2.0. */
bool platform_has_tpm(bool is_tpm12);

/*
 * Whether the PCRs say which system is running: one that the firmware has checked (or measured into
 * a PCR of `pcrs`), and whose stub has measured its parts.
 */
int platform_check(const char *pcrs, bool is_tpm12, struct failure *failure);

/*
 * A token with the values of now, and which of them ("7+11") the key is bound to by value; with
 * `others`, those of the others as well, which explain if it is this system that is started again.
 */
int platform_record(const char *pcrs, bool others, char token[PLATFORM_TOKEN],
                    struct failure *failure);

/* Reports in words, as `program`, what differs from what a token says, which may be NULL. */
void platform_explain(const char *program, const char *token, bool is_tpm12);

/*
 * The value of a token's member: tokens of our own have only strings without escapes. False if
 * there is none, or it is longer.
 */
bool platform_member(const char *token, const char *name, char *value, size_t size);

#endif
