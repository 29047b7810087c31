/*
 * oci.h: the OCI runtime (runc or crun), and how a process waits for a program that it runs. PID 1 itself only starts
 * programs (process.h); what waits in here is a helper process of it.
 */
#ifndef COMPOS_OCI_H
#define COMPOS_OCI_H

#include "console.h"

#include <stdbool.h>
#include <sys/types.h>

/* The runtime's path: crun where the system has it. A plan's `runtime` line says so. */
const char *oci_program(void);
void oci_use(const char *path);

/* Runs a program to its end, with stdin from /dev/null. Not in PID 1. */
int oci_run(const char *const arguments[], int output, int error, struct failure *failure);

/* The process id that the runtime has written to its --pid-file; 0 when there is none. */
pid_t oci_pid(const char *path);

#endif
