/* files.h: whole small files, and directories with their parents. */
#ifndef COMPOS_FILES_H
#define COMPOS_FILES_H

#include <stddef.h>
#include <sys/types.h>

/* A path below a fixed place; longer ones are cut, and then not found. */
enum { PATH_SIZE = 4096 };

/* Reads until `size` bytes are there or the file ends: how many there are, or -1 with errno. */
ssize_t file_fill(int file, char *buffer, size_t size);

/*
 * The file's bytes and a zero byte behind them, to be freed; NULL with errno, EFBIG when longer
 * than `limit`.
 */
char *file_read(const char *path, size_t limit, size_t *length);

/*
 * The first `size` - 1 bytes of a small file, white space at both ends cut off. -1 when it cannot
 * be read.
 */
int file_line(const char *path, char *line, size_t size);

/* mkdir -p: parents 0755; the last component is made with 0755. -1 with errno. */
int directory_make(const char *path);

/*
 * mkdir -p of a path below `root`, in which symbolic links are followed as if `root` were "/", so
 * that an image's links never lead out of it. An O_PATH descriptor of the last component, or -1
 * with errno.
 */
int directory_make_below(const char *root, const char *path);

/* Makes the parents of a path (0755). */
int directory_make_parents(const char *path);

/* rm -r of what is in a directory, on its own file system only; what cannot be removed stays. */
void directory_empty(const char *path);

#endif
