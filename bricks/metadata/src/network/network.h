/*
 * network.h: how the network is to be, whoever describes it: devices with their addresses and
 * routes, name servers. What is added is checked here; what is invalid is reported and left out.
 */
#ifndef COMPOS_NETWORK_H
#define COMPOS_NETWORK_H

#include "json/json.h"

#include <stdbool.h>
#include <stddef.h>

enum {
    NETWORK_NAME = 16, /* IFNAMSIZ */
    NETWORK_ID = 64,
    NETWORK_MAC = 6,
    MAX_DEVICES = 64,
    MAX_ADDRESSES = 32,
    MAX_ROUTES = 64,
    MAX_MEMBERS = 16,
    MAX_SERVERS = 8,
    MAX_BOND_OPTIONS = 8,
};

struct network_address {
    int family; /* AF_INET or AF_INET6 */
    unsigned char bytes[16];
    int prefix;
};

struct network_route {
    struct network_address to;
    struct network_address via; /* family 0: none */
    long metric;                /* or -1 */
    bool on_link;
};

enum network_kind { NETWORK_PHYSICAL, NETWORK_BOND, NETWORK_BRIDGE, NETWORK_VLAN };

/* A bond's option, as the kernel numbers it (linux/if_link.h). */
struct network_option {
    unsigned short attribute;
    unsigned char size; /* 1 or 4 */
    unsigned value;
};

struct network_device {
    enum network_kind kind;
    char id[NETWORK_ID];     /* as the document calls it */
    char name[NETWORK_NAME]; /* what it is to be called; or empty: as it is, eth0.7 */
    bool by_mac;
    unsigned char mac[NETWORK_MAC]; /* of the interface that is meant */
    char pattern[NETWORK_NAME];     /* its name, with wildcards; or empty */
    bool has_new_mac;
    unsigned char new_mac[NETWORK_MAC];
    long mtu; /* or -1 */
    bool dhcp;
    char members[MAX_MEMBERS][NETWORK_ID]; /* of a bond or bridge, by their ids */
    size_t member_count;
    char link[NETWORK_ID]; /* of a VLAN */
    long vlan;
    struct network_option options[MAX_BOND_OPTIONS];
    size_t option_count;
    bool stp;
    struct network_address addresses[MAX_ADDRESSES];
    size_t address_count;
    struct network_route routes[MAX_ROUTES];
    size_t route_count;
};

struct network {
    struct network_device devices[MAX_DEVICES];
    size_t count;
    struct network_address servers[MAX_SERVERS];
    size_t server_count;
    char search[256];
};

/* One more device; NULL, reported, if its id or the number of devices is not allowed. */
struct network_device *network_add(struct network *network, enum network_kind kind, const char *id);

/* The device of an id; NULL if there is none. */
struct network_device *network_find(struct network *network, const char *id);

/* Whether it is one that an interface can have. */
bool network_is_name(const char *name);
int network_parse_mac(const char *text, unsigned char *mac);

/* "10.0.0.1/24"; without a prefix, that of a whole address. */
int network_parse_address(const char *text, struct network_address *address);

/* Sets the prefix to that of a netmask, "255.255.255.0", "ffff::" or "24". */
int network_parse_netmask(const char *text, struct network_address *address);

/* `netmask` may be NULL: the address then has a prefix. */
void network_add_address(struct network_device *device, const char *text, const char *netmask);

/* `to` may be "default"; `via` and `netmask` may be empty. */
void network_add_route(struct network_device *device, const char *to, const char *netmask,
                       const char *via, long metric, bool on_link);
void network_add_server(struct network *network, const char *text);
void network_add_search(struct network *network, const char *text);
void network_add_member(struct network_device *device, const char *id);

/* Reports the members of `object` that are not in `known`, which ends with NULL. */
void network_report_others(const char *id, const struct json *object, const char *const *known);

#endif
