/*
 * oci.h: the OCI runtime (runc or crun), and how a process waits for a program that it runs. PID 1
 * itself only starts programs (process.h); what waits in here is a helper process of it.
 */
#ifndef COMPOS_OCI_H
#define COMPOS_OCI_H

#include "base/failure.h"

#include <stdbool.h>
#include <sys/types.h>

/* The runtime's path: crun where the system has it. A plan's `runtime` line says so. */
const char *oci_program(void);
void oci_use(const char *path);

/*
 * Before the first container: the runtime starts faster from here on. After the services have
 * started: only while that costs little.
 */
void oci_ready(void);
void oci_settle(void);

/* The runtime's path for containerd's shims. */
const char *oci_shared(void);

/* Runs a program to its end, with stdin from /dev/null. Not in PID 1. */
int oci_run(const char *const arguments[], int output, int error, struct failure *failure);

/* The process id that the runtime has written to its --pid-file; 0 when there is none. */
pid_t oci_pid(const char *path);

#endif
