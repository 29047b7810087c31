/* contents.h: what a whole disk holds, as one line for a person. */
#ifndef COMPOS_DISK_CONTENTS_H
#define COMPOS_DISK_CONTENTS_H

#include "disk/table.h"

enum contents { CONTENTS_BLANK, CONTENTS_UNFINISHED, CONTENTS_OTHER };

/*
 * Which it is, -1 when the disk cannot be read. Of CONTENTS_OTHER, `text` says what: "an xfs file
 * system labelled "data" in an MBR partition".
 */
int contents_read(const struct disk *disk, char *text, size_t size, struct failure *failure);

#endif
