/* trial.c: see trial.h. */
#include "slots/trial.h"

#include "base/cmdline.h"
#include "base/console.h"
#include "base/failure.h"
#include "base/files.h"
#include "base/process.h"
#include "base/variables.h"
#include "machine/coldplug.h"
#include "services/services.h"
#include "slots/entries.h"
#include "slots/order.h"
#include "slots/panic.h"
#include "slots/record.h"
#include "slots/table.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORD "compos.slots="
#define VERSION "/etc/compos/version"
#define BEFORE_ROOT "it stopped before it had found its root"
#define LINKS "/dev/disk/by-partlabel"
#define MAPPER "/dev/mapper"

enum {
    LOOK = 1000,          /* milliseconds between looks at disks and services */
    SETTLE = 5000,        /* for so long all services must have been well */
    DISK_PATIENCE = 60000 /* after that, a missing disk is worth a word */
};

static struct timer trial_timer;
static struct table trial_table;
static bool trial_found, trial_on, trial_watches, trial_missed, trial_looked;
static int64_t trial_deadline, trial_well_since, trial_begun;

/* Firmware's variables may need a driver, and the plan may have mounted them already. */
static void trial_mount_variables(void)
{
    struct failure failure;
    char guid[RECORD_ID];
    if (table_booted(guid) == 0)
        return;
    coldplug_load_module("efivarfs", &failure);
    mount("efivarfs", variables_folder, "efivarfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* Whether the slot that was started is on trial: the BIOS loader says so, or else the record. */
static bool trial_is_on(const struct record *record)
{
    char guid[RECORD_ID];
    if (table_by_bios())
        return table_tried_by_bios();
    return record->trial != SLOT_NONE && table_booted(guid) == 0 &&
           strcmp(record->slots[record->trial].boot, guid) == 0;
}

static int trial_load(struct record *record)
{
    return order_load(trial_found ? &trial_table : NULL, record);
}

static void trial_save(struct record *record)
{
    if (order_save(trial_found ? &trial_table : NULL, record) < 0)
        say("slots: the record cannot be kept: %s", strerror(errno));
}

static void trial_keep_stage(struct record *record, const char *stage)
{
    record_set(record->stage, sizeof record->stage, stage);
    trial_save(record);
}

void trial_enter_initrd(void)
{
    struct record record;
    struct failure failure;
    int seconds = cmdline_number(WORD);
    if (seconds <= 0)
        return;
    trial_mount_variables();
    trial_load(&record);
    trial_on = trial_is_on(&record);
    if (!trial_on)
        return;
    trial_deadline = process_now() + seconds * 1000L / 2;
    coldplug_load_module("efi_pstore", &failure);
    trial_keep_stage(&record, BEFORE_ROOT);
}

bool trial_runs(void)
{
    return trial_on;
}

void trial_lose_root(const char *reason)
{
    struct record record;
    struct failure failure;
    char text[RECORD_TEXT];
    if (!trial_on)
        return;
    snprintf(text, sizeof text, "it did not find its root%s%s", *reason ? ": " : "", reason);
    trial_found = table_find(&trial_table, &failure) == 0;
    trial_load(&record);
    trial_keep_stage(&record, text);
    say("slots: %s; starting the other slot", text);
    sync();
    reboot(RB_AUTOBOOT);
}

void trial_miss_root(const char *reason)
{
    if (process_now() >= trial_deadline)
        trial_lose_root(reason);
}

/* What the other slot's trial has come to. */
static void trial_report(struct record *record)
{
    struct record_slot *tried = &record->slots[record->trial];
    char reason[2 * RECORD_TEXT + 2], panic[RECORD_TEXT];
    if (record->started == record->trial && strcmp(record->stage, RECORD_UNSTARTED) == 0)
        record_set(record->stage, sizeof record->stage, BEFORE_ROOT);
    snprintf(reason, sizeof reason, "%s", record->stage);
    if (panic_take(panic, sizeof panic) == 0)
        snprintf(reason, sizeof reason, "%s: %s", record->stage, panic);
    tried->good = false;
    if (tried->failures < RECORD_MAX_FAILURES)
        tried->failures++;
    record_set(tried->reason, sizeof tried->reason, reason);
    say("slots: slot %c was tried and failed: %s", record_letter(record->trial), tried->reason);
    record->trial = SLOT_NONE;
    record->started = SLOT_NONE;
    record->next = SLOT_NONE;
    trial_save(record);
}

/* What was on trial before this system has started, or is so now. */
static void trial_look_back(struct record *record)
{
    trial_looked = true;
    if (trial_on) {
        int slot = record->trial != SLOT_NONE ? record->trial : trial_table.current;
        say("slots: slot %c is on trial for %d s", record_letter(slot), cmdline_number(WORD));
        trial_keep_stage(record, "it stopped before it was good (a panic, a hang or a power cut)");
    } else if (record->trial != SLOT_NONE)
        trial_report(record);
}

/*
 * The names by which others find the partitions; whoever links them anew must not be in the way.
 * What is encrypted is found decrypted: an update writes through it, without knowing the key.
 */
static void trial_link(const struct table_partition *partition, const char *name, bool encrypted)
{
    char path[128], target[TABLE_DEVICE + 64];
    if (!partition->number)
        return;
    snprintf(path, sizeof path, LINKS "/%s", name);
    snprintf(target, sizeof target, MAPPER "/%.40s", name);
    bool is_open = access(target, F_OK) == 0;
    /* Where roots are encrypted, one that is closed is not written in the clear. */
    if (!is_open && encrypted)
        return;
    if (!is_open)
        snprintf(target, sizeof target, "../../%s", partition->device);
    if (symlink(target, path) < 0 && errno != EEXIST)
        say("slots: %s: %s", path, strerror(errno));
}

static void trial_link_all(void)
{
    bool encrypted = access(MAPPER "/system-a", F_OK) == 0 || access(MAPPER "/system-b", F_OK) == 0;
    directory_make(LINKS);
    trial_link(&trial_table.boot[SLOT_A], "boot-a", false);
    trial_link(&trial_table.boot[SLOT_B], "boot-b", false);
    trial_link(&trial_table.system[SLOT_A], "system-a", encrypted);
    trial_link(&trial_table.system[SLOT_B], "system-b", encrypted);
    trial_link(&trial_table.block, "slots", false);
}

/* The record is about the partitions of this disk. */
static void trial_name_disk(struct record *record)
{
    for (int i = 0; i < SLOT_COUNT; i++)
        table_print_guid(trial_table.boot[i].guid, record->slots[i].boot);
}

/* The slot that runs is the one that starts from now on. */
static void trial_make_good(void)
{
    struct failure failure;
    struct record record;
    int slot = trial_table.current;
    trial_load(&record);
    if (order_put_first(&trial_table, &record, slot, &failure) < 0) {
        say("slots: slot %c is well, but %s", record_letter(slot), failure.text);
        return;
    }
    char version[RECORD_VERSION] = "";
    file_line(VERSION, version, sizeof version);
    trial_name_disk(&record);
    record.slots[slot].good = true;
    record.slots[slot].reason[0] = '\0';
    record.slots[slot].failures = 0;
    record_set(record.slots[slot].version, RECORD_VERSION, version);
    if (record.trial == slot)
        record.trial = SLOT_NONE;
    record.started = SLOT_NONE;
    record.sent = SLOT_NONE;
    trial_save(&record);
    trial_on = false;
    say("slots: slot %c is good", record_letter(slot));
}

/*
 * Firmware that has forgotten its boot entries starts the first boot partition that it finds. If
 * that is not the one that should run, it is told again which one is, and the machine starts anew.
 * Once: where that does not help, what runs goes on. Whether this system is not to be looked after
 * any further.
 */
static bool trial_has_strayed(struct record *record)
{
    struct failure failure;
    int right = record->first, slot = trial_table.current;
    if (trial_on || table_by_bios() || right == SLOT_NONE || right == slot ||
        !record->slots[right].good || entries_first(&trial_table) == right)
        return false;
    bool again = record->sent == right;
    record->sent = again ? SLOT_NONE : right;
    trial_save(record);
    if (again) {
        say("slots: firmware does not start slot %c; slot %c goes on", record_letter(right),
            record_letter(slot));
        return true;
    }
    if (entries_order(&trial_table, right, &failure) < 0 ||
        entries_try(&trial_table, right, &failure) < 0) {
        say("slots: %s", failure.text);
        return true;
    }
    say("slots: firmware has forgotten that slot %c is in use; starting it", record_letter(right));
    process_request(POWER_REBOOT);
    return true;
}

/* The disk is there. What was decided before this boot is carried out to its end. */
static void trial_take_disk(void)
{
    struct failure failure;
    struct record record;
    int slot = trial_table.current;
    trial_link_all();
    if (slot == SLOT_NONE) {
        say("slots: firmware does not say from which slot it has started");
        trial_watches = false;
        return;
    }
    if (trial_load(&record) < 0) {
        /* Another disk's record, or nobody has kept one. */
        record_clear(&record);
        record.first = slot;
        trial_name_disk(&record);
        trial_save(&record);
        return;
    }
    trial_on = trial_on || (!table_by_bios() && record.trial == slot);
    if (!trial_looked)
        trial_look_back(&record);
    if (trial_has_strayed(&record)) {
        trial_watches = false;
        return;
    }
    if (trial_on && order_first(&trial_table, &record) == slot)
        trial_make_good(); /* the power was cut when it had been found good */
    if (!trial_on && record.slots[slot].good) {
        trial_watches = false;
        if (order_first(&trial_table, &record) == slot)
            return;
        if (order_put_first(&trial_table, &record, slot, &failure) < 0)
            say("slots: %s", failure.text);
        record.sent = SLOT_NONE;
        trial_save(&record);
    }
}

static void trial_look_for_disk(void)
{
    struct failure failure;
    trial_found = table_find(&trial_table, &failure) == 0;
    if (trial_found)
        trial_take_disk();
    else if (!trial_missed && process_now() > trial_begun + DISK_PATIENCE) {
        trial_missed = true;
        say("slots: %s", failure.text);
    }
}

static void trial_judge(void)
{
    char reason[RECORD_TEXT] = "";
    enum verdict verdict = services_judge(reason, sizeof reason);
    if (verdict != VERDICT_WELL)
        trial_well_since = 0;
    else if (trial_well_since == 0)
        trial_well_since = process_now();
    else if (process_now() - trial_well_since >= SETTLE) {
        trial_watches = false;
        trial_make_good();
    }
    if (verdict == VERDICT_FAILED && !trial_give_up(reason)) {
        /* There is no other slot to go to, and what is there goes on. */
        trial_watches = false;
        say("slots: slot %c is not good: %s", record_letter(trial_table.current), reason);
    }
}

static void trial_check_deadline(void)
{
    char reason[RECORD_TEXT] = "", text[2 * RECORD_TEXT];
    if (!trial_on || process_now() < trial_deadline)
        return;
    services_judge(reason, sizeof reason);
    snprintf(text, sizeof text, "it was not good in time%s%s", *reason ? ": " : "", reason);
    trial_give_up(text);
}

static void trial_due(struct timer *timer)
{
    static bool services_started;
    services_started = services_started || services_have_started();
    if (!trial_found)
        trial_look_for_disk();
    if (trial_found && trial_watches && services_started)
        trial_judge();
    trial_check_deadline();
    if (!trial_found || trial_watches || trial_on)
        timer->at = process_now() + LOOK;
}

void trial_begin(void)
{
    struct record record;
    struct failure failure;
    int seconds = cmdline_number(WORD);
    if (seconds <= 0)
        return;
    trial_mount_variables();
    char guid[RECORD_ID];
    if (table_booted(guid) < 0)
        return; /* not from a slot, such as from a CD */
    bool known = trial_load(&record) == 0;
    trial_on = trial_is_on(&record);
    trial_begun = process_now();
    trial_deadline = trial_begun + seconds * 1000L;
    trial_watches = true;
    if (trial_on)
        coldplug_load_module("efi_pstore", &failure);
    if (known)
        trial_look_back(&record);
    trial_timer = (struct timer){.at = trial_begun, .due = trial_due};
    timer_add(&trial_timer);
}

bool trial_give_up(const char *reason)
{
    struct record record;
    if (!trial_on)
        return false;
    trial_on = false;
    trial_watches = false;
    trial_load(&record);
    trial_keep_stage(&record, reason);
    say("slots: %s; starting the other slot", reason);
    process_request(POWER_REBOOT);
    return true;
}

void trial_end(void)
{
    struct record record;
    if (!trial_on)
        return;
    trial_on = false;
    trial_load(&record);
    trial_keep_stage(&record, "it was shut down before it was good");
}
