/*
 * hotplug.h: what comes to the machine while it runs: drivers of new devices (uevents), and its
 * power button.
 */
#ifndef COMPOS_HOTPLUG_H
#define COMPOS_HOTPLUG_H

/* Begins, after the cold plug. */
void hotplug_start(void);

#endif
