/*
 * variables.h: variables of UEFI firmware, by efivarfs.
 *
 * Source: UEFI specification 2.10, 8.2 ("Variable Services"); the kernel's
 * Documentation/filesystems/efivarfs.rst.
 */
#ifndef COMPOS_VARIABLES_H
#define COMPOS_VARIABLES_H

#include <stddef.h>
#include <sys/types.h>

/* The vendors whose variables are used: UEFI's two, boot loaders', and ours. */
#define VARIABLES_GLOBAL "8be4df61-93ca-11d2-aa0d-00e098032b8c"
#define VARIABLES_SECURITY "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
#define VARIABLES_LOADER "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
#define VARIABLES_OURS "79bf3c4e-9c5e-4e2f-a3d5-52ab8dbb2f1c"

/* Bytes of what is written; firmware has about as much for all its variables. */
enum { VARIABLES_LIMIT = 64 << 10 };

/* Where efivarfs is mounted; tests and containers have another folder. */
extern const char *variables_folder;

/*
 * The contents without attributes: how many bytes, or -1 with errno: ENOENT, ENODATA for a variable
 * without attributes, EFBIG for more than `size` bytes, ...
 */
ssize_t variables_read(const char *name, const char *vendor, void *bytes, size_t size);

/* Makes or replaces a variable that stays, at once. -1 with errno. */
int variables_write(const char *name, const char *vendor, const void *bytes, size_t size);

/*
 * Gives the firmware a signed update (EFI_VARIABLE_AUTHENTICATION_2 and the new contents) of a
 * variable that only such updates change. -1 with errno: EACCES if it is not signed as it must be,
 * ENOSPC if there is no room, ...
 */
int variables_update(const char *name, const char *vendor, const void *bytes, size_t size);

/* Removes a variable; one that is not there is fine. -1 with errno. */
int variables_remove(const char *name, const char *vendor);

#endif
