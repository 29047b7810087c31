/* table.c: see table.h. */
#include "slots/table.h"

#include "base/cmdline.h"
#include "base/files.h"
#include "base/variables.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Fields of the header (table 5.5) and of an entry (table 5.6), by their offsets. */
enum {
    HEADER_ENTRIES = 72,
    HEADER_COUNT = 80,
    HEADER_ENTRY_SIZE = 84,
    HEADER_SIZE = 92,
    ENTRY_GUID = 16,
    ENTRY_FIRST = 32,
    ENTRY_LAST = 40,
    ENTRY_NAME = 56,
    ENTRY_SIZE = 128,
    NAME_LENGTH = 36,
    MAX_ENTRIES = 256,
    MAX_ENTRY_SIZE = 512,
    TABLE_WORD = 64
};

const char *table_descriptions = "/sys/class/block";
const char *table_devices = "/dev";

static const char *const table_names[][SLOT_COUNT] = {{"boot-a", "boot-b"},
                                                      {"system-a", "system-b"}};

static uint64_t table_number(const unsigned char *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = size; i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

static bool table_is_named(const unsigned char *entry, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i <= length; i++)
        if (table_number(entry + ENTRY_NAME + 2 * i, 2) != (unsigned char)name[i])
            return false;
    return true;
}

void table_print_guid(const unsigned char *guid, char *text)
{
    snprintf(text, RECORD_ID, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             (unsigned)table_number(guid, 4), (unsigned)table_number(guid + 4, 2),
             (unsigned)table_number(guid + 6, 2), guid[8], guid[9], guid[10], guid[11], guid[12],
             guid[13], guid[14], guid[15]);
}

bool table_by_bios(void)
{
    char word[TABLE_WORD];
    return cmdline_text("compos.slot=", word, sizeof word) == 0;
}

bool table_tried_by_bios(void)
{
    char word[TABLE_WORD];
    return cmdline_text("compos.slot=", word, sizeof word) == 0 && strstr(word, ",trial");
}

int table_booted(char *guid)
{
    unsigned char text[2 * RECORD_ID] = {0};
    char word[TABLE_WORD];
    if (cmdline_text("compos.slot=", word, sizeof word) == 0) {
        snprintf(guid, RECORD_ID, "%.36s", word);
        return 0;
    }
    ssize_t size = variables_read("LoaderDevicePartUUID", VARIABLES_LOADER, text, sizeof text);
    if (size < 0)
        return -1;
    for (size_t i = 0; i < RECORD_ID; i++)
        guid[i] = text[2 * i + 1] ? '?' : (char)tolower(text[2 * i]);
    guid[RECORD_ID - 1] = '\0';
    return 0;
}

static void table_take(struct table_partition *partition, const char *disk, unsigned number,
                       const unsigned char *entry)
{
    uint64_t first = table_number(entry + ENTRY_FIRST, 8);
    partition->number = number;
    partition->start = first;
    partition->size = table_number(entry + ENTRY_LAST, 8) - first + 1;
    memcpy(partition->guid, entry + ENTRY_GUID, TABLE_GUID);
    bool digit = isdigit((unsigned char)disk[strlen(disk) - 1]) != 0;
    snprintf(partition->device, sizeof partition->device, "%.32s%s%u", disk, digit ? "p" : "",
             number);
}

static void table_take_entry(struct table *table, const char *disk, unsigned number,
                             const unsigned char *entry)
{
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        if (table_is_named(entry, table_names[0][slot]))
            table_take(&table->boot[slot], disk, number, entry);
        if (table_is_named(entry, table_names[1][slot]))
            table_take(&table->system[slot], disk, number, entry);
    }
    if (table_is_named(entry, "slots"))
        table_take(&table->block, disk, number, entry);
}

/* The kernel has checked the table's checksums: without a good one there are no partitions. */
static int table_read(struct table *table, const char *disk, int device, unsigned block)
{
    unsigned char header[HEADER_SIZE], entry[MAX_ENTRY_SIZE];
    if (pread(device, header, sizeof header, block) != sizeof header ||
        memcmp(header, "EFI PART", 8) != 0)
        return -1;
    uint64_t at = table_number(header + HEADER_ENTRIES, 8) * block;
    uint64_t count = table_number(header + HEADER_COUNT, 4);
    uint64_t size = table_number(header + HEADER_ENTRY_SIZE, 4);
    if (size < ENTRY_SIZE || size > sizeof entry || count > MAX_ENTRIES)
        return -1;
    for (unsigned i = 0; i < count; i++) {
        if (pread(device, entry, size, (off_t)(at + i * size)) != (ssize_t)size)
            return -1;
        table_take_entry(table, disk, i + 1, entry);
    }
    return table->boot[SLOT_A].number && table->boot[SLOT_B].number ? 0 : -1;
}

/*
 * Whether this disk has the slots. With `booted`, one of them must have been started. A disk that
 * may not be read gives the reason.
 */
static bool table_try_disk(struct table *table, const char *disk, const char *booted,
                           struct failure *failure)
{
    char path[PATH_SIZE], text[32];
    *table = (struct table){.current = SLOT_NONE};
    snprintf(path, sizeof path, "%s/%s/partition", table_descriptions, disk);
    if (access(path, F_OK) == 0)
        return false;
    snprintf(path, sizeof path, "%s/%s/queue/logical_block_size", table_descriptions, disk);
    int block = file_line(path, text, sizeof text) < 0 ? 512 : atoi(text);
    snprintf(path, sizeof path, "%s/%s", table_devices, disk);
    int device = open(path, O_RDONLY | O_CLOEXEC);
    if (device < 0) {
        if (errno != ENOMEDIUM)
            failed_errno(failure, "%.64s", path);
        return false;
    }
    bool found = block > 0 && table_read(table, disk, device, (unsigned)block) == 0;
    close(device);
    for (int slot = 0; found && slot < SLOT_COUNT; slot++) {
        char guid[RECORD_ID];
        table_print_guid(table->boot[slot].guid, guid);
        if (booted && strcmp(guid, booted) == 0)
            table->current = slot;
    }
    return found && (!booted || table->current != SLOT_NONE);
}

int table_find(struct table *table, struct failure *failure)
{
    char guid[RECORD_ID];
    const char *booted = table_booted(guid) == 0 ? guid : NULL;
    bool found = false;
    const struct dirent *entry;
    *failure->text = '\0';
    DIR *folder = opendir(table_descriptions);
    if (!folder)
        return failed_errno(failure, "%s", table_descriptions);
    while (!found && (entry = readdir(folder)) != NULL) {
        const char *name = entry->d_name;
        if (*name != '.' && strncmp(name, "loop", 4) != 0 && strncmp(name, "ram", 3) != 0 &&
            strncmp(name, "dm-", 3) != 0 && strlen(name) < TABLE_DEVICE / 2)
            found = table_try_disk(table, name, booted, failure);
    }
    closedir(folder);
    if (found)
        return 0;
    *table = (struct table){.current = SLOT_NONE};
    return *failure->text ? -1
                          : failed(failure, "no disk has the partitions boot-a and boot-b%s",
                                   booted ? " that firmware has started" : "");
}
