/* web.h: processes that read what strangers have written. */
#ifndef COMPOS_WEB_H
#define COMPOS_WEB_H

#include <sys/types.h>

/* Becomes nobody. -1 with errno. */
int web_nobody(void);

/* Waits for a process: its exit status, 128 and the signal's number, or -1. */
int web_wait(pid_t pid);

#endif
