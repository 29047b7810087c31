/* entries.c: see entries.h. */
#include "slots/entries.h"

#include "base/variables.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined __x86_64__
#define PROGRAM "\\EFI\\BOOT\\BOOTX64.EFI"
#elif defined __aarch64__
#define PROGRAM "\\EFI\\BOOT\\BOOTAA64.EFI"
#else
#define PROGRAM "\\EFI\\BOOT\\BOOTRISCV64.EFI"
#endif

enum {
    ACTIVE = 1,
    MEDIA = 4,
    HARD_DRIVE = 1,
    HARD_DRIVE_SIZE = 42,
    FILE_PATH = 4,
    END = 0x7f,
    END_ENTIRE = 0xff,
    NODE_HEADER = 4,
    FORMAT_GPT = 2,
    SIGNATURE_GUID = 2,
    OPTION_HEADER = 6,
    OPTION_LIMIT = 1024,
    OTHERS_LIMIT = 4096,
    ORDER_LIMIT = 256,
    NUMBERS = 0x10000
};

/* A load option as it is put together. */
struct entries_option {
    unsigned char bytes[OPTION_LIMIT];
    size_t size;
};

static void entries_put(struct entries_option *option, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        option->bytes[option->size++] = (unsigned char)(value >> 8 * i);
}

/* UTF-16, with its NUL. */
static void entries_put_text(struct entries_option *option, const char *text)
{
    for (;; text++) {
        entries_put(option, (unsigned char)*text, 2);
        if (!*text)
            return;
    }
}

static void entries_describe(int slot, char *text, size_t size)
{
    snprintf(text, size, "compos %c", record_letter(slot));
}

static void entries_compose(struct entries_option *option, const struct table *table, int slot)
{
    const struct table_partition *boot = &table->boot[slot];
    const size_t program = 2 * sizeof PROGRAM;
    char description[16];
    entries_describe(slot, description, sizeof description);
    *option = (struct entries_option){0};
    entries_put(option, ACTIVE, 4);
    entries_put(option, HARD_DRIVE_SIZE + NODE_HEADER + program + NODE_HEADER, 2);
    entries_put_text(option, description);
    entries_put(option, MEDIA, 1);
    entries_put(option, HARD_DRIVE, 1);
    entries_put(option, HARD_DRIVE_SIZE, 2);
    entries_put(option, boot->number, 4);
    entries_put(option, boot->start, 8);
    entries_put(option, boot->size, 8);
    memcpy(option->bytes + option->size, boot->guid, TABLE_GUID);
    option->size += TABLE_GUID;
    entries_put(option, FORMAT_GPT, 1);
    entries_put(option, SIGNATURE_GUID, 1);
    entries_put(option, MEDIA, 1);
    entries_put(option, FILE_PATH, 1);
    entries_put(option, NODE_HEADER + program, 2);
    entries_put_text(option, PROGRAM);
    entries_put(option, END, 1);
    entries_put(option, END_ENTIRE, 1);
    entries_put(option, NODE_HEADER, 2);
}

/* The number of a file that is called `Boot####-GLOBAL`, or -1. */
static int entries_number(const char *file)
{
    char digits[5] = "", name[64];
    if (strncmp(file, "Boot", 4) != 0 || strspn(file + 4, "0123456789ABCDEF") != 4)
        return -1;
    memcpy(digits, file + 4, 4);
    snprintf(name, sizeof name, "Boot%s-" VARIABLES_GLOBAL, digits);
    return strcmp(file, name) == 0 ? (int)strtoul(digits, NULL, 16) : -1;
}

static void entries_name(char *name, size_t size, int number)
{
    snprintf(name, size, "Boot%04X", (unsigned)number);
}

/* Whether `bytes` are the entry of a slot, perhaps on another disk. */
static bool entries_is_described(const unsigned char *bytes, size_t size, int slot)
{
    char description[16];
    entries_describe(slot, description, sizeof description);
    size_t length = strlen(description) + 1;
    if (size < OPTION_HEADER + 2 * length)
        return false;
    for (size_t i = 0; i < length; i++)
        if (bytes[OPTION_HEADER + 2 * i] != (unsigned char)description[i] ||
            bytes[OPTION_HEADER + 2 * i + 1])
            return false;
    return true;
}

/* What is known of the entries: which one is a slot's, which one could be put right, a free one. */
struct entries_known {
    int own;
    int described;
    unsigned char used[NUMBERS / 8];
};

static int entries_look(struct entries_known *known, const struct table *table, int slot)
{
    struct entries_option wanted;
    *known = (struct entries_known){.own = -1, .described = -1};
    entries_compose(&wanted, table, slot);
    DIR *folder = opendir(variables_folder);
    if (!folder)
        return -1;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        unsigned char bytes[OTHERS_LIMIT];
        char name[16];
        int number = entries_number(entry->d_name);
        if (number < 0)
            continue;
        known->used[number / 8] |= (unsigned char)(1 << number % 8);
        entries_name(name, sizeof name, number);
        ssize_t size = variables_read(name, VARIABLES_GLOBAL, bytes, sizeof bytes);
        if (size == (ssize_t)wanted.size && memcmp(bytes, wanted.bytes, wanted.size) == 0)
            known->own = number;
        else if (size > 0 && entries_is_described(bytes, (size_t)size, slot))
            known->described = number;
    }
    closedir(folder);
    return 0;
}

static int entries_free(const struct entries_known *known)
{
    int number = 0;
    while (number < NUMBERS - 1 && known->used[number / 8] & 1 << number % 8)
        number++;
    return number;
}

int entries_of(const struct table *table, int slot, struct failure *failure)
{
    struct entries_known known;
    struct entries_option wanted;
    char name[16];
    if (entries_look(&known, table, slot) < 0)
        return failed_errno(failure, "%s", variables_folder);
    if (known.own >= 0)
        return known.own;
    int number = known.described >= 0 ? known.described : entries_free(&known);
    entries_name(name, sizeof name, number);
    entries_compose(&wanted, table, slot);
    if (variables_write(name, VARIABLES_GLOBAL, wanted.bytes, wanted.size) < 0)
        return failed_errno(failure, "firmware takes no boot entry %s", name);
    return number;
}

/* The numbers of `BootOrder`, or of `BootNext`: how many. */
static size_t entries_read(const char *name, uint16_t *numbers, size_t limit)
{
    unsigned char bytes[2 * ORDER_LIMIT];
    ssize_t size = variables_read(name, VARIABLES_GLOBAL, bytes, sizeof bytes);
    size_t count = size < 0 ? 0 : (size_t)size / 2;
    if (count > limit)
        count = limit;
    for (size_t i = 0; i < count; i++)
        numbers[i] = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
    return count;
}

/* Which slot an entry is of. */
static int entries_slot(const struct table *table, int number)
{
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        struct entries_known known;
        if (entries_look(&known, table, slot) == 0 && known.own == number)
            return slot;
    }
    return SLOT_NONE;
}

int entries_first(const struct table *table)
{
    uint16_t order[ORDER_LIMIT];
    return entries_read("BootOrder", order, ORDER_LIMIT) > 0 ? entries_slot(table, order[0])
                                                             : SLOT_NONE;
}

int entries_primary(const struct table *table)
{
    uint16_t next;
    int slot = entries_read("BootNext", &next, 1) > 0 ? entries_slot(table, next) : SLOT_NONE;
    return slot != SLOT_NONE ? slot : entries_first(table);
}

int entries_order(const struct table *table, int slot, struct failure *failure)
{
    uint16_t old[ORDER_LIMIT];
    unsigned char bytes[2 * (ORDER_LIMIT + SLOT_COUNT)];
    size_t size = 0;
    int numbers[SLOT_COUNT];
    const int wanted[SLOT_COUNT] = {slot, slot == SLOT_A ? SLOT_B : SLOT_A};
    for (size_t i = 0; i < SLOT_COUNT; i++)
        if ((numbers[i] = entries_of(table, wanted[i], failure)) < 0)
            return -1;
    for (size_t i = 0; i < SLOT_COUNT; i++) {
        bytes[size++] = (unsigned char)numbers[i];
        bytes[size++] = (unsigned char)(numbers[i] >> 8);
    }
    size_t count = entries_read("BootOrder", old, ORDER_LIMIT);
    bool same = count >= SLOT_COUNT && old[0] == numbers[0] && old[1] == numbers[1];
    for (size_t i = 0; i < count; i++) {
        if (old[i] == numbers[0] || old[i] == numbers[1])
            continue;
        bytes[size++] = (unsigned char)old[i];
        bytes[size++] = (unsigned char)(old[i] >> 8);
    }
    if (!same && variables_write("BootOrder", VARIABLES_GLOBAL, bytes, size) < 0)
        return failed_errno(failure, "firmware takes no boot order");
    return 0;
}

int entries_try(const struct table *table, int slot, struct failure *failure)
{
    int number = entries_of(table, slot, failure);
    if (number < 0)
        return -1;
    const unsigned char bytes[] = {(unsigned char)number, (unsigned char)(number >> 8)};
    if (variables_write("BootNext", VARIABLES_GLOBAL, bytes, sizeof bytes) < 0)
        return failed_errno(failure, "firmware takes no BootNext");
    return 0;
}

bool entries_take_back(const struct table *table)
{
    uint16_t next;
    return entries_read("BootNext", &next, 1) > 0 && entries_slot(table, next) != SLOT_NONE &&
           variables_remove("BootNext", VARIABLES_GLOBAL) == 0;
}
