/*
 * candidate_driver.c: which disk a rule takes. Arguments are the rule, what may be erased, and
 * whether removable disks count; a line of standard input is a disk: name, size in bytes, serial
 * number, wwid, what it holds, why it cannot be taken, and "removable" or nothing, tabs between.
 */
#include "candidate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void driver_disk(struct candidate *disk, char *line)
{
    char *fields[7];
    line[strcspn(line, "\n")] = 0;
    for (size_t index = 0; index < 7; index++) {
        fields[index] = strsep(&line, "\t");
        if (!fields[index])
            abort();
    }
    *disk = (struct candidate){0};
    snprintf(disk->name, sizeof disk->name, "%s", fields[0]);
    snprintf(disk->path, sizeof disk->path, "/dev/%s", fields[0]);
    disk->size = strtoull(fields[1], NULL, 10);
    snprintf(disk->serial, sizeof disk->serial, "%s", fields[2]);
    snprintf(disk->wwid, sizeof disk->wwid, "%s", fields[3]);
    snprintf(disk->contents, sizeof disk->contents, "%s", fields[4]);
    disk->blank = !*fields[4];
    snprintf(disk->obstacle, sizeof disk->obstacle, "%s", fields[5]);
    disk->removable = *fields[6];
}

int main(int count, char *arguments[])
{
    static struct candidates list;
    struct rules rules = {0};
    struct failure failure;
    char line[4096];
    if (count != 4)
        return 3;
    snprintf(rules.disk, sizeof rules.disk, "%s", arguments[1]);
    snprintf(rules.erase, sizeof rules.erase, "%s", arguments[2]);
    rules.removable = *arguments[3];
    while (fgets(line, sizeof line, stdin))
        driver_disk(&list.disks[list.count++], line);
    const struct candidate *chosen = candidate_choose(&list, &rules, &failure);
    puts(chosen ? chosen->name : failure.text);
    return chosen ? 0 : 1;
}
