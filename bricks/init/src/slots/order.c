/* order.c: see order.h. */
#include "slots/order.h"

#include "base/variables.h"
#include "slots/block.h"
#include "slots/entries.h"

#include <errno.h>
#include <string.h>

#define NAME "ComposSlots"

/* Whether the record is about the partitions of this disk. */
static bool order_is_of(const struct record *record, const struct table *table)
{
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        char guid[RECORD_ID];
        table_print_guid(table->boot[slot].guid, guid);
        if (strcmp(record->slots[slot].boot, guid) == 0)
            return true;
    }
    return false;
}

static int order_load_variable(struct record *record)
{
    char text[RECORD_SIZE + 1] = "";
    ssize_t length = table_by_bios() ? -1 : variables_read(NAME, VARIABLES_OURS, text, RECORD_SIZE);
    text[length < 0 ? 0 : length] = '\0';
    return record_parse(record, text);
}

int order_load(const struct table *table, struct record *record)
{
    struct record kept;
    int result = order_load_variable(record);
    if (!table)
        return result;
    if (result == 0 && !order_is_of(record, table)) {
        record_clear(record);
        result = -1;
    }
    if (block_load(table, &kept) == 0 && order_is_of(&kept, table) &&
        (result < 0 || kept.sequence > record->sequence)) {
        *record = kept;
        result = 0;
    }
    if (record->first == SLOT_NONE && table_by_bios())
        record->first = table->current;
    return result;
}

int order_save(const struct table *table, struct record *record)
{
    char text[RECORD_SIZE];
    record->sequence++;
    if (table_by_bios())
        return table ? block_save(table, record) : 0;
    size_t length = record_print(record, text);
    int result = variables_write(NAME, VARIABLES_OURS, text, length);
    int reason = errno;
    /* It is for firmware that forgets; a disk that takes nothing now says so elsewhere. */
    if (table)
        block_save(table, record);
    errno = reason;
    return result;
}

int order_first(const struct table *table, const struct record *record)
{
    return table_by_bios() ? record->first : entries_first(table);
}

int order_primary(const struct table *table, const struct record *record)
{
    if (!table_by_bios())
        return entries_primary(table);
    return record->next != SLOT_NONE ? record->next : record->first;
}

int order_put_first(const struct table *table, struct record *record, int slot,
                    struct failure *failure)
{
    if (!table_by_bios() && entries_order(table, slot, failure) < 0)
        return -1;
    record->first = slot;
    return 0;
}

int order_try(const struct table *table, struct record *record, int slot, struct failure *failure)
{
    bool by_bios = table_by_bios();
    record->started = SLOT_NONE;
    record->next = by_bios ? slot : SLOT_NONE;
    if (order_save(table, record) < 0)
        return failed_errno(failure, "the slots' record cannot be kept");
    return by_bios ? 0 : entries_try(table, slot, failure);
}

void order_take_back(const struct table *table, struct record *record)
{
    record->next = SLOT_NONE;
    if (!table_by_bios())
        entries_take_back(table);
}
