/*
 * owner.h: a TPM 1.2 gets an owner, which makes its storage root key.
 *
 * The owner's secret is random and kept by nobody, so that no program can clear the TPM; whoever
 * stands in front of the machine can, in the firmware's menu.
 */
#ifndef COMPOS_OWNER_H
#define COMPOS_OWNER_H

#include "base/failure.h"

#include <stdbool.h>

/* Whether it has none yet. -1. */
int owner_is_missing(int device, struct failure *failure);

/* Makes an endorsement key if there is none; takes seconds to minutes. */
int owner_take(int device, struct failure *failure);

#endif
