/* record.c: see record.h. */
#include "slots/record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER "compos-slots\t1"

enum { FIELDS = 7 };

char record_letter(int slot)
{
    return slot == SLOT_B ? 'B' : 'A';
}

int record_slot_named(const char *name)
{
    if (strcmp(name, "A") == 0)
        return SLOT_A;
    return strcmp(name, "B") == 0 ? SLOT_B : SLOT_NONE;
}

void record_set(char *field, size_t size, const char *text)
{
    size_t length = 0;
    for (; *text && length + 1 < size; text++) {
        /* What firmware or a container says is printed on a console later. */
        char byte = *text >= ' ' && *text < 0x7f ? *text : '?';
        field[length++] = *text == '\t' || *text == '\n' ? ' ' : byte;
    }
    field[length] = '\0';
}

void record_clear(struct record *record)
{
    *record = (struct record){.trial = SLOT_NONE,
                              .first = SLOT_NONE,
                              .next = SLOT_NONE,
                              .started = SLOT_NONE,
                              .sent = SLOT_NONE};
}

static void record_read_line(struct record *record, char *line)
{
    char *fields[FIELDS] = {line};
    size_t count = 1;
    while (count < FIELDS && (fields[count] = strchr(fields[count - 1], '\t')) != NULL)
        *fields[count++]++ = '\0';
    int slot = count > 1 ? record_slot_named(fields[1]) : SLOT_NONE;
    if (slot == SLOT_NONE)
        return;
    if (count == 3 && strcmp(line, "trial") == 0) {
        record->trial = slot;
        record_set(record->stage, sizeof record->stage, fields[2]);
    }
    if (count == 3 && strcmp(line, "first") == 0) {
        record->first = slot;
        record->sequence = (uint32_t)strtoul(fields[2], NULL, 10);
    }
    if (count == 3 && strcmp(line, "sent") == 0)
        record->sent = slot;
    if (count < FIELDS || strcmp(line, "slot") != 0)
        return;
    struct record_slot *one = &record->slots[slot];
    one->good = strcmp(fields[2], "good") == 0;
    record_set(one->boot, sizeof one->boot, fields[3]);
    record_set(one->version, sizeof one->version, fields[4]);
    unsigned long failures = strtoul(fields[5], NULL, 10);
    one->failures = failures < RECORD_MAX_FAILURES ? (unsigned)failures : RECORD_MAX_FAILURES;
    record_set(one->reason, sizeof one->reason, fields[6]);
}

int record_parse(struct record *record, char *text)
{
    record_clear(record);
    bool known = false;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        if (line == text)
            known = strcmp(line, HEADER) == 0;
        else if (known)
            record_read_line(record, line);
    }
    return known ? 0 : -1;
}

size_t record_print(const struct record *record, char *text)
{
    size_t length = (size_t)snprintf(text, RECORD_SIZE, HEADER "\n");
    for (int slot = 0; slot < SLOT_COUNT; slot++) {
        const struct record_slot *one = &record->slots[slot];
        length +=
            (size_t)snprintf(text + length, RECORD_SIZE - length, "slot\t%c\t%s\t%s\t%s\t%u\t%s\n",
                             record_letter(slot), one->good ? "good" : "bad", one->boot,
                             one->version, one->failures, one->reason);
    }
    if (record->trial != SLOT_NONE)
        length += (size_t)snprintf(text + length, RECORD_SIZE - length, "trial\t%c\t%s\n",
                                   record_letter(record->trial), record->stage);
    if (record->first != SLOT_NONE)
        length += (size_t)snprintf(text + length, RECORD_SIZE - length, "first\t%c\t%u\n",
                                   record_letter(record->first), record->sequence);
    if (record->sent != SLOT_NONE)
        length += (size_t)snprintf(text + length, RECORD_SIZE - length, "sent\t%c\tyes\n",
                                   record_letter(record->sent));
    return length;
}
