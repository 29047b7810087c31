/* names.h: what groups and devices are called. */
#ifndef COMPOS_NAMES_H
#define COMPOS_NAMES_H

#include "web/text.h"

#include <stdbool.h>

enum { NAME_SIZE = 64 };

/*
 * The labels id, image and name of the group `id`. A container's name is that which Docker gave it,
 * else the last part of the id; a group that is no container has an empty one.
 */
void names_label(struct text *labels, const char *id, bool container, const char *docker);

/* "/dev/sda", or "8:0" for a device that the kernel does not know. */
void names_device(unsigned major, unsigned minor, char name[NAME_SIZE]);

#endif
