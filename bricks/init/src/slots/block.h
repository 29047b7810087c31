/*
 * block.h: the record on the disk, for our BIOS loader and for firmware that forgets: a partition
 * called `slots` has it twice. The older copy is written over, so a power cut leaves the newer one.
 *
 * The bytes are those of src/compos/boot/slot_block.py.
 */
#ifndef COMPOS_BLOCK_H
#define COMPOS_BLOCK_H

#include "slots/table.h"

/* The newer one of the copies that are whole. -1 with errno if there is none. */
int block_load(const struct table *table, struct record *record);

/* Writes the record over the older copy, and waits until it is there. -1 with errno. */
int block_save(const struct table *table, struct record *record);

/* Whether our BIOS loader would find a system in this boot partition. */
bool block_is_startable(const unsigned char *sector);

#endif
