/* network_bond.h: the options of bonds, as cloud-init and netplan name them. */
#ifndef COMPOS_NETWORK_BOND_H
#define COMPOS_NETWORK_BOND_H

#include "network/network.h"

/* An option of a bond: "mode" or "bond-mode", "802.3ad" or "4"; -1 if it is unknown. */
int network_bond_add_option(struct network_device *device, const char *name, const char *value);

#endif
