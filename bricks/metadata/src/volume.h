/* volume.h: what file system a block device holds, and its label, of the two that metadata has. */
#ifndef COMPOS_VOLUME_H
#define COMPOS_VOLUME_H

#include <stddef.h>

/*
 * The kernel's name of the file system ("iso9660", "vfat"), and its label without blanks at its end
 * in `label`; NULL for anything else, or what cannot be read.
 */
const char *volume_type(int device, char *label, size_t size);

#endif
