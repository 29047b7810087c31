/* coldplug.h: modules for the devices that the kernel has found, and the modprobe command. */
#ifndef COMPOS_COLDPLUG_H
#define COMPOS_COLDPLUG_H

#include "base/failure.h"

/*
 * Loads the modules of every /sys/bus/BUS/devices/DEVICE/modalias, again until no new device
 * appears.
 */
int coldplug(struct failure *failure);

/*
 * The same, and the modules that were wanted, but not the drivers of disk controllers: they wait
 * for their ports, and whoever loads another module then waits with them. Where disks are awaited,
 * a process of its own loads them next; otherwise they are left for coldplug_start_disks.
 */
int coldplug_early(struct failure *failure);

/* Says, before coldplug_early, that coldplug_disks will be called. */
void coldplug_await_disks(void);

/* Has the drivers of disk controllers loaded, if they are left, by a process of its own. */
void coldplug_start_disks(void);

/*
 * Names, separated by blanks, of modules that coldplug_early loads too. A module that is not there
 * is passed over.
 */
void coldplug_want(const char *names);

/*
 * The same as coldplug, but without what may look for disks for a while: drivers of SATA and IDE
 * controllers.
 */
int coldplug_quick(struct failure *failure);

/*
 * Waits until the controllers of coldplug_early have reported their disks, and those have drivers.
 */
void coldplug_disks(void);

/* Loads one module by name. */
int coldplug_load_module(const char *name, struct failure *failure);

/* modprobe [-a] [-b] [-q] [--] NAME..., as people and the kernel call it. The exit status. */
int modprobe_command(int count, char *const arguments[]);

#endif
