/* contents.c: what a whole disk holds, as one line for a person. */
#include "disk/contents.h"

#include "disk/signature.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* "an xfs file system labelled "data"": a label is anybody's bytes. */
static void contents_describe(const struct signature *signature, char *text, size_t size)
{
    /* By sound: an ext4, an xfs, an LVM, an md RAID; a LUKS2, a btrfs. */
    bool vowel = strchr("aeiox", *signature->name) || strcmp(signature->name, "LVM") == 0 ||
                 strcmp(signature->name, "md RAID") == 0 || strcmp(signature->name, "f2fs") == 0 ||
                 strcmp(signature->name, "NTFS") == 0;
    int length =
        snprintf(text, size, "%s %s %s", vowel ? "an" : "a", signature->name, signature->what);
    if (*signature->label == 0 || length < 0 || (size_t)length >= size)
        return;
    char label[sizeof signature->label];
    strcpy(label, signature->label);
    for (char *mark = label; *mark; mark++)
        if (!isprint((unsigned char)*mark))
            *mark = '?';
    snprintf(text + length, size - (size_t)length, " labelled \"%s\"", label);
}

/* 1 with text, 0, -1 */
static int contents_of_region(const struct region *region, char *text, size_t size,
                              struct failure *failure)
{
    struct signature signature;
    int found = signature_read(region, &signature, failure);
    if (found > 0)
        contents_describe(&signature, text, size);
    return found;
}

static int contents_of_table(const struct disk *disk, const struct table *table, char *text,
                             size_t size, struct failure *failure)
{
    const char *name = table_name(table->kind), *article = table->kind == TABLE_GPT ? "a" : "an";
    for (size_t index = 0; index < table->count; index++) {
        char inner[400];
        const struct partition *partition = &table->partitions[index];
        struct region region = {disk->descriptor, partition->start, partition->size};
        if (partition->start >= disk->size || partition->size > disk->size - partition->start)
            continue;
        int found = contents_of_region(&region, inner, sizeof inner, failure);
        if (found < 0)
            return -1;
        if (found == 0)
            continue;
        if (table->count == 1)
            snprintf(text, size, "%s in %s %s partition", inner, article, name);
        else
            snprintf(text, size, "%s in one of %zu %s partitions", inner, table->count, name);
        return 0;
    }
    snprintf(text, size, "%s %s partition table with %zu partition%s", article, name, table->count,
             table->count == 1 ? "" : "s");
    return 0;
}

int contents_read(const struct disk *disk, char *text, size_t size, struct failure *failure)
{
    struct table table;
    const struct region whole = {disk->descriptor, 0, disk->size};
    *text = 0;
    if (table_read(disk, &table, failure) < 0)
        return -1;
    if (table.unfinished)
        return CONTENTS_UNFINISHED;
    int found = contents_of_region(&whole, text, size, failure);
    if (found != 0)
        return found < 0 ? -1 : CONTENTS_OTHER;
    if (table.kind != TABLE_NONE)
        return contents_of_table(disk, &table, text, size, failure) < 0 ? -1 : CONTENTS_OTHER;
    int blank = region_is_blank(&whole, failure);
    if (blank < 0)
        return -1;
    if (!blank)
        snprintf(text, size, "data of an unknown kind");
    return blank ? CONTENTS_BLANK : CONTENTS_OTHER;
}
