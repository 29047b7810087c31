/*
 * finder.h: in the small initrd of a system whose root lies on a medium: find that medium, mount
 * the root, go there.
 *
 * /etc/compos/root describes it (docs/plan-format.md). Without that file this initrd is the root
 * itself.
 */
#ifndef COMPOS_FINDER_H
#define COMPOS_FINDER_H

#include <stdbool.h>

/*
 * Returns only when there is nothing to find; else runs the init of the root that it found, or goes
 * on looking.
 */
void finder(void);

/*
 * In the root: whether the finder has left it to this init to leave the initrd, because the system
 * unseals first. Answers once.
 */
bool finder_has_stayed(void);

#endif
