/* volume.h: what file system a block device holds, and its label, of those that metadata has. */
#ifndef COMPOS_VOLUME_H
#define COMPOS_VOLUME_H

#include <stddef.h>

/*
 * The kernel's name of the file system ("iso9660", "vfat", "udf"), and its label without blanks at
 * its end in `label`, which is empty for UDF; NULL for anything else, or what cannot be read.
 */
const char *volume_type(int device, char *label, size_t size);

#endif
