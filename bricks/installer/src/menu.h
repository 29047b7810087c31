/* menu.h: the disk chosen by hand, on the console. */
#ifndef COMPOS_MENU_H
#define COMPOS_MENU_H

#include "candidate.h"

/* The disks with their numbers, and what of them cannot be taken. */
void menu_show(const struct candidates *list);

/*
 * Asks for a disk, and to be sure: 1 with `chosen`, 0 when the disks are to be listed again, -1
 * when there is nobody to ask.
 */
int menu_choose(const struct candidates *list, const struct candidate **chosen,
                struct failure *failure);

/* Whether what was chosen by a rule is confirmed; as menu_choose. */
int menu_confirm(const struct candidate *candidate, struct failure *failure);

#endif
