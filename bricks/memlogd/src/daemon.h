/* daemon.h: memlogd itself. */
#ifndef COMPOS_DAEMON_H
#define COMPOS_DAEMON_H

/* The command memlogd; returns its exit status. */
int daemon_main(int argument_count, char *arguments[]);

#endif
