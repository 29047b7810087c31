/* menu.c: see menu.h. */
#include "menu.h"

#include "disk/report.h"
#include "disk/terminal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER = 128 };

#define menu_say(...) report("installer", __VA_ARGS__)

void menu_show(const struct candidates *list)
{
    char text[2 * CANDIDATE_CONTENTS];
    if (list->count == 0)
        menu_say("no disk is there");
    for (size_t index = 0; index < list->count; index++) {
        const struct candidate *one = &list->disks[index];
        candidate_describe(one, text, sizeof text);
        menu_say("  %zu  %s: %s", index + 1, one->path, text);
        if (*one->obstacle)
            menu_say("     cannot be taken: %s", one->obstacle);
        else
            menu_say("     holds %s", one->contents);
    }
}

static int menu_ask(const char *question, char *answer, struct failure *failure)
{
    if (terminal_ask(question, answer, ANSWER, failure) < 0)
        return -1;
    answer[strcspn(answer, " \t")] = 0;
    return 0;
}

/* A disk with data is named by whoever wants to lose them. */
int menu_confirm(const struct candidate *candidate, struct failure *failure)
{
    char question[2 * BLOCK_NAME + 128], answer[ANSWER];
    const char *word = candidate->blank ? "yes" : candidate->name;
    if (!candidate->blank)
        menu_say("ALL DATA ON %s WILL BE LOST: %s", candidate->path, candidate->contents);
    snprintf(question, sizeof question, "installer: type %s to install on %s: ", word,
             candidate->name);
    if (menu_ask(question, answer, failure) < 0)
        return -1;
    if (strcmp(answer, word) == 0)
        return 1;
    menu_say("nothing is changed");
    return 0;
}

int menu_choose(const struct candidates *list, const struct candidate **chosen,
                struct failure *failure)
{
    char answer[ANSWER], *end;
    if (menu_ask("installer: number of the disk (Enter looks for disks again): ", answer, failure) <
        0)
        return -1;
    unsigned long number = strtoul(answer, &end, 10);
    if (!*answer)
        return 0;
    if (*end || number < 1 || number > list->count) {
        menu_say("%.40s is not the number of a disk", answer);
        return 0;
    }
    const struct candidate *one = &list->disks[number - 1];
    if (*one->obstacle) {
        menu_say("%s cannot be taken: %s", one->path, one->obstacle);
        return 0;
    }
    *chosen = one;
    return menu_confirm(one, failure);
}
