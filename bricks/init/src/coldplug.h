/* coldplug.h: modules for the devices that the kernel has found, and the modprobe command. */
#ifndef COMPOS_COLDPLUG_H
#define COMPOS_COLDPLUG_H

#include "console.h"

/* Loads the modules of every /sys/bus/BUS/devices/DEVICE/modalias, again until no new device appears. */
int coldplug(struct failure *failure);

/* Loads one module by name. */
int load_module(const char *name, struct failure *failure);

/* modprobe [-a] [-b] [-q] [--] NAME..., as people and the kernel call it. The exit status. */
int modprobe_command(int count, char *const arguments[]);

#endif
