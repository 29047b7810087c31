/* cmdline.h: words of the kernel's command line. */
#ifndef COMPOS_CMDLINE_H
#define COMPOS_CMDLINE_H

#include <stdbool.h>

/* Whether `word` stands on it as it is, such as `quiet` or `name=0`. */
bool cmdline_has(const char *word);

/* The number behind `prefix` (`name=`); 0 without it. */
int cmdline_number(const char *prefix);

#endif
