/*
 * limit.h: how often the TPM may be asked, by all requests together: a TPM is slow, and the system
 * needs it for itself, too.
 */
#ifndef COMPOS_LIMIT_H
#define COMPOS_LIMIT_H

#include <stdbool.h>

enum { LIMIT_BURST = 20 };

/* Before the first request; `rate` requests a minute, LIMIT_BURST of them at once. Ends the program
 * without memory. */
void limit_begin(long rate);

/* Whether one more may be answered now; it counts. */
bool limit_allows(void);

#endif
