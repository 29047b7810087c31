/* processes.h: what /proc says of a group's processes and of the machine. */
#ifndef COMPOS_PROCESSES_H
#define COMPOS_PROCESSES_H

#include <stdbool.h>

/*
 * When process `pid` started, and what its network interfaces have counted; those of the machine
 * itself only if `machine`, so that no group that shares them counts them again.
 */
void processes_measure(const char *root, long pid, bool machine, const char *labels);

/* A line of meminfo, such as "MemTotal:", in bytes. */
bool processes_memory(const char *root, const char *key, double *bytes);

#endif
