/* network_v1.h: version 1 of cloud-init's network configuration. */
#ifndef COMPOS_NETWORK_V1_H
#define COMPOS_NETWORK_V1_H

#include "network/network.h"

void network_v1_read(const struct json *root, struct network *network);

#endif
