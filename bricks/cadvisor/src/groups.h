/*
 * groups.h: what the kernel counts for each control group (version 2), as metrics.
 *
 * Source: Linux, Documentation/admin-guide/cgroup-v2.rst.
 */
#ifndef COMPOS_GROUPS_H
#define COMPOS_GROUPS_H

/* Where the hierarchy, the processes and Docker's data are. */
struct places {
    const char *groups;
    const char *processes;
    const char *docker;
};

/*
 * Measures every group. A file that is not there, since the group has ended or the kernel does
 * without it, is a metric less.
 */
void groups_measure(const struct places *places);

#endif
