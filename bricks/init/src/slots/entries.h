/*
 * entries.h: the boot entries of the slots in the firmware: `Boot####`, `BootOrder`, `BootNext`.
 *
 * Source: UEFI specification 2.10, 3.1.3 ("Load Options"), 3.3 ("Globally Defined Variables"),
 * 10.3.5.1 ("Hard Drive Media Device Path"), 10.3.5.4 ("File Path Media Device Path").
 */
#ifndef COMPOS_ENTRIES_H
#define COMPOS_ENTRIES_H

#include "base/failure.h"
#include "slots/table.h"

#include <stdint.h>

/*
 * The number of a slot's entry, which is made or put right if it must be. -1 with the reason.
 */
int entries_of(const struct table *table, int slot, struct failure *failure);

/* Which slot `BootNext` names, else the first in `BootOrder`; SLOT_NONE if neither does. */
int entries_primary(const struct table *table);

/* Which slot comes first in `BootOrder`; SLOT_NONE if none does. */
int entries_first(const struct table *table);

/* Puts `slot` in front of `BootOrder`, and the other one behind it. -1 with the reason. */
int entries_order(const struct table *table, int slot, struct failure *failure);

/* Sets `BootNext`. -1 with the reason. */
int entries_try(const struct table *table, int slot, struct failure *failure);

/* Takes `BootNext` back; whether there was one of a slot. */
bool entries_take_back(const struct table *table);

#endif
