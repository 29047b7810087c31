/* dhcp_client.h: settings of dhcpcd: which interfaces it is to ask for addresses (--network). */
#ifndef COMPOS_DHCP_CLIENT_H
#define COMPOS_DHCP_CLIENT_H

#include "result.h"

/*
 * Writes dhcpcd.conf: that of this container, for the interfaces that a network configuration wants
 * addresses for by DHCP, or for none; as it is, where there is no such configuration.
 */
int dhcp_client_write(const struct result *result, struct failure *failure);

#endif
