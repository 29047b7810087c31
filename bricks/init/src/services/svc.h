/*
 * svc.h: the command `svc`: how the services are, their logs, and start, stop, restart. A client of
 * PID 1's (control.h).
 */
#ifndef COMPOS_SVC_H
#define COMPOS_SVC_H

/* The exit status: 0, 1 for what did not work, 2 for wrong usage. */
int svc_command(int count, char *arguments[]);

#endif
