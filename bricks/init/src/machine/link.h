/* link.h: network interfaces through rtnetlink(7). */
#ifndef COMPOS_LINK_H
#define COMPOS_LINK_H

#include "base/failure.h"

#include <sys/types.h>

/* 127.0.0.1/8 on lo, up. */
int link_loopback(struct failure *failure);

/*
 * A plan's `interface` line for a container: name, link type, peer, `root` or empty. Makes the
 * interface or takes an existing one, and leaves it in the network namespace of `pid`
 * (docs/linuxkit.md#run-9, "Interfaces").
 */
int link_interface(const char *const argument[], pid_t pid, struct failure *failure);

#endif
