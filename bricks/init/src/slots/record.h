/*
 * record.h: what is known of the slots, as text: lines of fields with tabs between them. What
 * cannot be read is as if nothing was known. order.h keeps it.
 *
 *     compos-slots 1
 *     slot   A|B   good|bad   BOOT-PARTITION   VERSION   FAILURES   REASON
 *     trial  A|B   STAGE
 *     first  A|B   SEQUENCE
 *     sent   A|B   yes
 */
#ifndef COMPOS_RECORD_H
#define COMPOS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    uint32_t sequence;       /* how often it has been kept: the higher, the newer */
    int first;               /* the slot that starts as long as nothing is tried, or SLOT_NONE */
    int next;    /* BIOS: the slot that the loader tries at the next boot, or SLOT_NONE */
    int started; /* BIOS: the slot that the loader has started by a try, or SLOT_NONE */
    int sent;    /* the slot that was to start in place of the wrong one, or SLOT_NONE */
};

/* 'A' or 'B' */
char record_letter(int slot);

/* The slot that is called so, or SLOT_NONE. */
int record_slot_named(const char *name);

/* Why a trial has failed of which init has seen nothing. */
#define RECORD_UNSTARTED "firmware did not start it, or it stopped at once"

/* A record that knows nothing. */
void record_clear(struct record *record);

/* Copies a text for a field: what does not fit or would not be one is left out. */
void record_set(char *field, size_t size, const char *text);

/* Reads `text`, which it changes. -1 if it is not a record: then it is an empty one. */
int record_parse(struct record *record, char *text);

/* The record as text: its length. `text` has RECORD_SIZE bytes. */
size_t record_print(const struct record *record, char *text);

#endif
