/* links.h: the network interfaces that are there. */
#ifndef COMPOS_LINKS_H
#define COMPOS_LINKS_H

#include "network/netlink.h"
#include "network/network.h"

enum { MAX_INTERFACES = 256 };

struct link {
    int index;
    char name[NETWORK_NAME];
    unsigned char mac[NETWORK_MAC];
    bool composed; /* a bond, bridge or VLAN, which may have the address of a part */
    bool taken;    /* by a device of the configuration */
};

struct links {
    struct link list[MAX_INTERFACES];
    size_t count;
};

int links_read(struct links *links, struct netlink *netlink, struct failure *failure);
struct link *links_named(struct links *links, const char *name);

/* The one that a physical device means, which then is taken; NULL if it is not there. */
struct link *links_take(struct links *links, const struct network_device *device);

#endif
