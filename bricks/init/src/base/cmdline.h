/* cmdline.h: words of the kernel's command line. */
#ifndef COMPOS_CMDLINE_H
#define COMPOS_CMDLINE_H

#include <stdbool.h>
#include <stddef.h>

/* Where it is; tests have another one. */
extern const char *cmdline_file;

/* Whether `word` stands on it as it is, such as `quiet` or `name=0`. */
bool cmdline_has(const char *word);

/* The number behind `prefix` (`name=`); 0 without it. */
int cmdline_number(const char *prefix);

/* What stands behind `prefix` (`name=`), cut to `size`. -1 without it. */
int cmdline_text(const char *prefix, char *text, size_t size);

#endif
