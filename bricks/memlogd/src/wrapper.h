/* wrapper.h: a program whose output goes to memlogd as well. */
#ifndef COMPOS_WRAPPER_H
#define COMPOS_WRAPPER_H

/* The command logwrite of memlogd's image; returns its exit status. */
int wrapper_main(int argument_count, char *arguments[]);

#endif
