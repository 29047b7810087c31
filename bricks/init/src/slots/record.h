/*
 * record.h: what is known of the slots, in one variable of the firmware: lines of fields with tabs
 * between them. What cannot be read is as if nothing was known.
 *
 *     compos-slots 1
 *     slot   A|B   good|bad   BOOT-PARTITION   VERSION   FAILURES   REASON
 *     trial  A|B   STAGE
 */
#ifndef COMPOS_RECORD_H
#define COMPOS_RECORD_H

#include <stdbool.h>
#include <stddef.h>

enum { SLOT_NONE = -1, SLOT_A, SLOT_B, SLOT_COUNT };
enum {
    RECORD_ID = 37,
    RECORD_VERSION = 65,
    RECORD_TEXT = 257,
    RECORD_SIZE = 2048,
    RECORD_MAX_FAILURES = 99
};

struct record_slot {
    bool good;
    char boot[RECORD_ID]; /* the GUID of its boot partition, in small letters */
    char version[RECORD_VERSION];
    unsigned failures;        /* how often a trial of this version has failed */
    char reason[RECORD_TEXT]; /* why its last trial failed; empty if it has not */
};

struct record {
    struct record_slot slots[SLOT_COUNT];
    int trial;               /* the slot that is tried at the next boot, or just now */
    char stage[RECORD_TEXT]; /* why that has failed, if nothing else is said before the next boot */
};

/* 'A' or 'B' */
char record_letter(int slot);

/* The slot that is called so, or SLOT_NONE. */
int record_slot_named(const char *name);

/* Copies a text for a field: what does not fit or would not be one is left out. */
void record_set(char *field, size_t size, const char *text);

/* Reads `text`, which it changes. -1 if it is not a record: then it is an empty one. */
int record_parse(struct record *record, char *text);

/* The record as text: its length. `text` has RECORD_SIZE bytes. */
size_t record_print(const struct record *record, char *text);

/* The firmware's record. -1 with errno if there is none; then it is an empty one. */
int record_load(struct record *record);

/* Replaces the firmware's record. -1 with errno. */
int record_save(const struct record *record);

#endif
