/*
 * finder.h: in the small initrd of a system whose root lies on a medium: find that medium, mount
 * the root, go there.
 *
 * /etc/compos/root describes it (docs/plan-format.md). Without that file this initrd is the root
 * itself.
 */
#ifndef COMPOS_FINDER_H
#define COMPOS_FINDER_H

/*
 * Returns only when there is nothing to find; else runs the init of the root that it found, or goes
 * on looking.
 */
void finder(void);

#endif
