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

/* `is_tpm12`: a TPM 1.2 is asked for, not a TPM 2.0. */
bool platform_has_tpm(bool is_tpm12);

/*
 * Whether the PCRs say which system is running: one that the firmware has checked (or measured into
 * a PCR of `pcrs`), and whose stub has measured its parts.
 */
int platform_check(const char *pcrs, bool is_tpm12, struct failure *failure);

/* Stores the values of now, and which of them ("7+11") the key is bound to by value. */
int platform_record(const char *node, const char *pcrs, struct failure *failure);

/* Reports in words what differs from what was recorded. */
void platform_explain(const char *node, bool is_tpm12);

#endif
