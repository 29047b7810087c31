/*
 * machine.h: the small settings of the machine that the stage `boot` makes. All return 0, or -1
 * with the reason.
 */
#ifndef COMPOS_MACHINE_H
#define COMPOS_MACHINE_H

#include "base/failure.h"

#include <stdbool.h>

/*
 * Whether init is in a container, whose engine has set the machine up: /proc is mounted before it
 * runs (docs/linuxkit.md#run-15). Asked first before anything is mounted.
 */
bool machine_is_given(void);

/* The system clock from the clock chip rtc0 (UTC), when the kernel has not set it. */
int machine_set_clock(struct failure *failure);

/* /etc/hostname, else linuxkit- and the MAC of eth0. */
int machine_set_hostname(struct failure *failure);

/* resource (nofile, nproc, ...), soft, hard: numbers or `unlimited` */
int machine_set_limit(const char *const argument[], struct failure *failure);

/* Where the symbolic link /etc/resolv.conf leads, an empty file. */
int machine_make_resolvconf(struct failure *failure);

/* /etc/issue to each console= device of the kernel's command line. */
int machine_show_issue(struct failure *failure);

/* mode, c or b, major, minor, path */
int machine_make_node(const char *const argument[], struct failure *failure);

/* mode, path; a relative path is below `root` */
int machine_make_directory(const char *const argument[], const char *root, struct failure *failure);

/* target, path */
int machine_make_symlink(const char *const argument[], struct failure *failure);

#endif
