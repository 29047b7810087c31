/* network_apply.h: makes the kernel's network as it is to be, by netlink. */
#ifndef COMPOS_NETWORK_APPLY_H
#define COMPOS_NETWORK_APPLY_H

#include "network/network.h"
#include "text.h"

/*
 * What does not work is reported, one line for each; the rest is done. The names of interfaces that
 * want addresses by DHCP are added to `dhcp`, each behind a space.
 */
void network_apply(struct network *network, struct text *dhcp);

#endif
