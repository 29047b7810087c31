/*
 * variables.h: variables of UEFI firmware, by efivarfs. Sizes are those of what slots need; longer
 * contents are refused.
 *
 * Source: UEFI specification 2.10, 8.2 ("Variable Services"); the kernel's
 * Documentation/filesystems/efivarfs.rst.
 */
#ifndef COMPOS_VARIABLES_H
#define COMPOS_VARIABLES_H

#include <stddef.h>
#include <sys/types.h>

/* The vendors whose variables are read: UEFI's own, boot loaders', and ours. */
#define VARIABLES_GLOBAL "8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define VARIABLES_LOADER "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#define VARIABLES_OURS "79bf3c4e-9c5e-4e2f-a3d5-52ab8dbb2f1c"

enum { VARIABLES_LIMIT = 4096 };

/* Where efivarfs is mounted; tests have another folder. */
extern const char *variables_folder;

/* The contents without attributes: how many bytes, or -1 with errno (ENOENT, EFBIG, ...). */
ssize_t variables_read(const char *name, const char *vendor, void *bytes, size_t size);

/* Makes or replaces a variable that stays, at once. -1 with errno. */
int variables_write(const char *name, const char *vendor, const void *bytes, size_t size);

/* Removes a variable; one that is not there is fine. -1 with errno. */
int variables_remove(const char *name, const char *vendor);

#endif
