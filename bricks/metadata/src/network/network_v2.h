/* network_v2.h: version 2 of cloud-init's network configuration, which is netplan's. */
#ifndef COMPOS_NETWORK_V2_H
#define COMPOS_NETWORK_V2_H

#include "network/network.h"

void network_v2_read(const struct json *root, struct network *network);

#endif
