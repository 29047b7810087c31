/*
 * order.h: which slot starts, and what is known of the slots. Under UEFI the firmware's boot
 * entries say the former and a variable the latter, and the block on the disk is a copy; a BIOS has
 * the block only.
 *
 * Each function that takes a table may be given NULL as long as the disk is not there.
 */
#ifndef COMPOS_ORDER_H
#define COMPOS_ORDER_H

#include "base/failure.h"
#include "slots/table.h"

/*
 * What is known of the slots of this disk: the firmware's record or the disk's, whichever is newer.
 * -1 if nothing is; then the record is an empty one.
 */
int order_load(const struct table *table, struct record *record);

/* Keeps the record. -1 with errno. */
int order_save(const struct table *table, struct record *record);

/* Which slot starts as long as nothing is tried; SLOT_NONE if nobody says so. */
int order_first(const struct table *table, const struct record *record);

/* Which slot starts next; SLOT_NONE if nobody says so. */
int order_primary(const struct table *table, const struct record *record);

/* Puts `slot` in front. The record has to be saved afterwards. -1 with the reason. */
int order_put_first(const struct table *table, struct record *record, int slot,
                    struct failure *failure);

/* Has `slot` tried once, at the next boot, and saves the record. -1 with the reason. */
int order_try(const struct table *table, struct record *record, int slot, struct failure *failure);

/* Takes a try back that has not begun. The record has to be saved afterwards. */
void order_take_back(const struct table *table, struct record *record);

#endif
