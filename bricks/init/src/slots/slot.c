/* slot.c: see slot.h. */
#include "slots/slot.h"

#include "base/failure.h"
#include "base/files.h"
#include "base/variables.h"
#include "slots/block.h"
#include "slots/order.h"
#include "slots/record.h"
#include "slots/table.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char slot_usage[] = "usage: slot get-primary\n"
                                 "       slot set-primary A|B\n"
                                 "       slot get-state A|B\n"
                                 "       slot set-state A|B good|bad\n"
                                 "       slot set-version A|B VERSION\n"
                                 "       slot get-version A|B\n"
                                 "       slot get-failures A|B\n"
                                 "       slot get-reason A|B\n"
                                 "       slot get-current\n"
                                 "       slot status\n";

/* What the commands work on. */
struct slot_view {
    struct table table;
    struct record record;
};

static int slot_open(struct slot_view *view, struct failure *failure)
{
    if (access(variables_folder, F_OK) < 0 && !table_by_bios())
        return failed(failure, "neither UEFI nor the slots' BIOS loader has started this system");
    if (table_find(&view->table, failure) < 0)
        return -1;
    order_load(&view->table, &view->record);
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        char guid[RECORD_ID];
        table_print_guid(view->table.boot[slot].guid, guid);
        /* What was recorded of another disk says nothing of this one. */
        if (strcmp(guid, view->record.slots[slot].boot) != 0) {
            view->record.slots[slot] = (struct record_slot){0};
            record_set(view->record.slots[slot].boot, RECORD_ID, guid);
            if (view->record.trial == slot)
                view->record.trial = SLOT_NONE;
        }
    }
    return 0;
}

static int slot_save(struct slot_view *view, struct failure *failure)
{
    return order_save(&view->table, &view->record) < 0
               ? failed_errno(failure, "the slots' record cannot be kept")
               : 0;
}

/* Whether something has been written that could be started: a FAT file system; by a BIOS, more. */
static bool slot_is_filled(const struct table_partition *boot)
{
    unsigned char sector[512] = {0};
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/%s", table_devices, boot->device);
    int device = open(path, O_RDONLY | O_CLOEXEC);
    bool filled = device >= 0 && pread(device, sector, sizeof sector, 0) == sizeof sector &&
                  sector[510] == 0x55 && sector[511] == 0xaa &&
                  (!table_by_bios() || block_is_startable(sector));
    if (device >= 0)
        close(device);
    return filled;
}

/* A slot that runs already needs no trial. */
static int slot_stay(struct slot_view *view, int slot, struct failure *failure)
{
    order_take_back(&view->table, &view->record);
    /* Whether a slot on trial stays, init is about to find out. */
    if (view->record.trial != slot) {
        view->record.trial = SLOT_NONE;
        if (order_put_first(&view->table, &view->record, slot, failure) < 0)
            return -1;
    }
    return slot_save(view, failure);
}

static int slot_set_primary(struct slot_view *view, int slot, struct failure *failure)
{
    int current = view->table.current;
    if (!slot_is_filled(&view->table.boot[slot]))
        return failed(failure, "slot %c has no system%s", record_letter(slot),
                      table_by_bios() ? " that a BIOS can start" : "");
    if (slot == current)
        return slot_stay(view, slot, failure);
    /* Whatever happens, firmware comes back to what runs now; unless that is on trial itself. */
    if (current != SLOT_NONE && view->record.trial != current &&
        order_put_first(&view->table, &view->record, current, failure) < 0)
        return -1;
    view->record.trial = slot;
    view->record.slots[slot].reason[0] = '\0';
    record_set(view->record.stage, RECORD_TEXT, RECORD_UNSTARTED);
    return order_try(&view->table, &view->record, slot, failure);
}

static int slot_set_state(struct slot_view *view, int slot, bool good, struct failure *failure)
{
    if (good && slot == view->table.current &&
        order_put_first(&view->table, &view->record, slot, failure) < 0)
        return -1;
    if (!good && slot != view->table.current && order_primary(&view->table, &view->record) == slot)
        order_take_back(&view->table, &view->record);
    view->record.slots[slot].good = good;
    if (view->record.trial == slot)
        view->record.trial = SLOT_NONE;
    return slot_save(view, failure);
}

/* The version that is about to be written. How often it has failed before stays known. */
static int slot_set_version(struct slot_view *view, int slot, const char *version,
                            struct failure *failure)
{
    struct record_slot *one = &view->record.slots[slot];
    if (slot == view->table.current)
        return failed(failure, "slot %c runs", record_letter(slot));
    if (strcmp(one->version, version) != 0)
        one->failures = 0;
    one->good = false;
    one->reason[0] = '\0';
    record_set(one->version, RECORD_VERSION, version);
    return slot_save(view, failure);
}

static void slot_print_status(const struct slot_view *view)
{
    int primary = order_primary(&view->table, &view->record);
    printf("SLOT  VERSION           STATE  NOW      NEXT   LAST TRIAL\n");
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        const struct record_slot *one = &view->record.slots[slot];
        bool on_trial = view->record.trial == slot;
        printf("%c     %-16s  %-5s  %-7s  %-5s  %s\n", record_letter(slot),
               *one->version ? one->version : "-",
               on_trial    ? "trial"
               : one->good ? "good"
                           : "bad",
               slot == view->table.current ? "runs" : "-", slot == primary ? "next" : "-",
               *one->reason ? one->reason : "-");
    }
}

static int slot_print_name(int slot, const char *what, struct failure *failure)
{
    if (slot == SLOT_NONE)
        return failed(failure, "%s", what);
    printf("%c\n", record_letter(slot));
    return 0;
}

/* -1 with the reason; 1 for arguments that mean nothing. */
static int slot_run(struct slot_view *view, int count, char *const arguments[],
                    struct failure *failure)
{
    const char *verb = count > 1 ? arguments[1] : "";
    int slot = count > 2 ? record_slot_named(arguments[2]) : SLOT_NONE;
    bool good = count > 3 && strcmp(arguments[3], "good") == 0;
    if (count == 2 && strcmp(verb, "get-primary") == 0)
        return slot_print_name(order_primary(&view->table, &view->record),
                               "firmware has no slot in its order", failure);
    if (count == 2 && strcmp(verb, "get-current") == 0)
        return slot_print_name(view->table.current, "firmware does not say which slot runs",
                               failure);
    if (count == 2 && strcmp(verb, "status") == 0) {
        slot_print_status(view);
        return 0;
    }
    if (slot == SLOT_NONE)
        return 1;
    if (count == 3 && strcmp(verb, "set-primary") == 0)
        return slot_set_primary(view, slot, failure);
    if (count == 3 && strcmp(verb, "get-state") == 0) {
        puts(view->record.slots[slot].good ? "good" : "bad");
        return 0;
    }
    if (count == 3 && strcmp(verb, "get-version") == 0) {
        puts(view->record.slots[slot].version);
        return 0;
    }
    if (count == 3 && strcmp(verb, "get-reason") == 0) {
        puts(view->record.slots[slot].reason);
        return 0;
    }
    if (count == 3 && strcmp(verb, "get-failures") == 0) {
        printf("%u\n", view->record.slots[slot].failures);
        return 0;
    }
    if (count == 4 && strcmp(verb, "set-version") == 0)
        return slot_set_version(view, slot, arguments[3], failure);
    if (count == 4 && strcmp(verb, "set-state") == 0 && (good || strcmp(arguments[3], "bad") == 0))
        return slot_set_state(view, slot, good, failure);
    return 1;
}

int slot_command(int count, char *const arguments[])
{
    struct failure failure;
    struct slot_view view;
    int result = slot_open(&view, &failure);
    if (result == 0)
        result = slot_run(&view, count, arguments, &failure);
    if (result > 0) {
        fputs(slot_usage, stderr);
        return 2;
    }
    if (result < 0)
        fprintf(stderr, "slot: %s\n", failure.text);
    return result < 0 ? 1 : 0;
}
