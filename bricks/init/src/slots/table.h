/*
 * table.h: the disk with the slots: its partitions, by the names in its GPT.
 *
 * Source: UEFI specification 2.10, 5.3 ("GUID Partition Table (GPT) Disk Layout").
 */
#ifndef COMPOS_TABLE_H
#define COMPOS_TABLE_H

#include "base/failure.h"
#include "slots/record.h"

#include <stdbool.h>
#include <stdint.h>

enum { TABLE_DEVICE = 64, TABLE_GUID = 16 };

struct table_partition {
    unsigned number; /* from 1; 0 if it is not there */
    uint64_t start;  /* in blocks of the disk, as the table has it */
    uint64_t size;
    unsigned char guid[TABLE_GUID]; /* as on the disk */
    char device[TABLE_DEVICE];      /* its name below /dev */
};

struct table {
    struct table_partition boot[SLOT_COUNT];
    struct table_partition system[SLOT_COUNT]; /* without them the root is in the boot partitions */
    struct table_partition block;              /* what is known of the slots (block.h) */
    int current;                               /* the slot that runs, or SLOT_NONE */
};

/* Where devices are described, and where they are; tests have other folders. */
extern const char *table_descriptions, *table_devices;

/*
 * Finds the disk that has both boot partitions: the one that firmware has started this system from,
 * if it says so. -1 with the reason.
 */
int table_find(struct table *table, struct failure *failure);

/* A GUID as people write it, in small letters. `text` has RECORD_ID bytes. */
void table_print_guid(const unsigned char *guid, char *text);

/*
 * Which boot partition this system was started from, as the stub or our BIOS loader says it; -1 if
 * neither does.
 */
int table_booted(char *guid);

/* Whether our BIOS loader has started this system; and whether it has used up the slot's try. */
bool table_by_bios(void);
bool table_tried_by_bios(void);

#endif
