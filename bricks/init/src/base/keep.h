/* keep.h: small files on a disk that are replaced as a whole. */
#ifndef COMPOS_KEEP_H
#define COMPOS_KEEP_H

/*
 * Puts a text into a file of a folder, in place of what it had. It is on the disk when this
 * returns; a power cut leaves the old text or the new one. -1 with errno.
 */
int keep_replace(const char *folder, const char *name, const char *text);

#endif
