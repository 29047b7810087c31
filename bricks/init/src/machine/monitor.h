/*
 * monitor.h: what PID 1 looks after by itself: the hardware watchdog when the kernel's command line
 * asks for it, and tmpfs that are full.
 */
#ifndef COMPOS_MONITOR_H
#define COMPOS_MONITOR_H

/*
 * Begins. `compos.watchdog=SECONDS` on the kernel's command line arms /dev/watchdog with that time
 * and feeds it from the loop of PID 1; it stays armed to the end, so that a shutdown that hangs is
 * ended too.
 */
void monitor_start(void);

#endif
