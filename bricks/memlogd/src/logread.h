/* logread.h: what memlogd holds, as text. */
#ifndef COMPOS_LOGREAD_H
#define COMPOS_LOGREAD_H

/* The command logread; returns its exit status. */
int logread_main(int argument_count, char *arguments[]);

#endif
