/* network_openstack.h: OpenStack's network_data.json. */
#ifndef COMPOS_NETWORK_OPENSTACK_H
#define COMPOS_NETWORK_OPENSTACK_H

#include "network/network.h"

void network_openstack_read(const struct json *root, struct network *network);

#endif
