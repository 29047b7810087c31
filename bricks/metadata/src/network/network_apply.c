/* network_apply.c: see network_apply.h. */
#include "network/network_apply.h"

#include "network/links.h"
#include "network/netlink.h"
#include "report.h"

#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Drivers may still be at work: so many times 0.1 s. */
enum { MAX_WAITS = 50 };

struct network_plan {
    struct network *network;
    struct text *dhcp;
    struct netlink netlink;
    struct links links;
    int indexes[MAX_DEVICES]; /* of interfaces, by the number of the device; 0: none */
};

static void network_apply_report(const struct network_device *device, const char *what,
                                 const struct failure *failure)
{
    report("network: %s: %s: %.256s", device->name[0] ? device->name : device->id, what,
           failure->text);
}

/* A change of an interface, to be sent with `network_apply_send`. */
static void network_apply_begin(struct netlink_message *message, int index, unsigned flags)
{
    const struct ifinfomsg link = {
        .ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_flags = flags, .ifi_change = IFF_UP};
    netlink_begin(message, RTM_NEWLINK, 0, &link, sizeof link);
}

static bool network_apply_send(struct network_plan *plan, const struct network_device *device,
                               struct netlink_message *message, const char *what)
{
    struct failure failure;
    if (netlink_do(&plan->netlink, message, &failure) == 0)
        return true;
    network_apply_report(device, what, &failure);
    return false;
}

static bool network_apply_found(struct network_plan *plan)
{
    bool all = true;
    for (size_t i = 0; i < plan->network->count; i++) {
        const struct network_device *device = &plan->network->devices[i];
        if (device->kind != NETWORK_PHYSICAL)
            continue;
        const struct link *link = links_take(&plan->links, device);
        plan->indexes[i] = link ? link->index : 0;
        all = all && (link || (!device->by_mac && !device->pattern[0]));
    }
    return all;
}

static int network_apply_find(struct network_plan *plan, struct failure *failure)
{
    for (int i = 0; i < MAX_WAITS; i++) {
        if (links_read(&plan->links, &plan->netlink, failure) < 0)
            return -1;
        if (network_apply_found(plan))
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
    for (size_t i = 0; i < plan->network->count; i++) {
        const struct network_device *device = &plan->network->devices[i];
        if (device->kind == NETWORK_PHYSICAL && plan->indexes[i] == 0)
            report("network: %s: there is no such interface", device->id);
    }
    return 0;
}

/* Older kernels rename only what is down, and look at the name before they take it down. */
static bool network_apply_rename_one(struct network_plan *plan, int index, const char *name,
                                     struct failure *failure)
{
    struct netlink_message message;
    network_apply_begin(&message, index, 0);
    if (netlink_do(&plan->netlink, &message, failure) < 0)
        return false;
    network_apply_begin(&message, index, 0);
    netlink_add(&message, IFLA_IFNAME, name, strlen(name) + 1);
    return netlink_do(&plan->netlink, &message, failure) == 0;
}

/* Two passes: names may be exchanged, and whoever has one that is wanted gets another first. */
static void network_apply_rename(struct network_plan *plan)
{
    struct failure failure;
    for (size_t i = 0; i < plan->network->count; i++) {
        const struct network_device *device = &plan->network->devices[i];
        struct link *other = device->name[0] && device->kind == NETWORK_PHYSICAL
                                 ? links_named(&plan->links, device->name)
                                 : NULL;
        if (!other || plan->indexes[i] == 0 || other->index == plan->indexes[i])
            continue;
        snprintf(other->name, sizeof other->name, "was%d", other->index);
        if (!network_apply_rename_one(plan, other->index, other->name, &failure))
            network_apply_report(device, "another interface has that name", &failure);
    }
    for (size_t i = 0; i < plan->network->count; i++) {
        const struct network_device *device = &plan->network->devices[i];
        const struct link *own = links_named(&plan->links, device->name);
        if (device->kind == NETWORK_PHYSICAL && plan->indexes[i] && device->name[0] &&
            !(own && own->index == plan->indexes[i]) &&
            !network_apply_rename_one(plan, plan->indexes[i], device->name, &failure))
            network_apply_report(device, "its name", &failure);
    }
}

static int network_apply_index(struct network_plan *plan, const char *id)
{
    const struct network_device *device = network_find(plan->network, id);
    return device ? plan->indexes[device - plan->network->devices] : 0;
}

static void network_apply_add_kind(struct netlink_message *message,
                                   const struct network_device *device)
{
    static const char *const kinds[] = {"", "bond", "bridge", "vlan"};
    const char *kind = kinds[device->kind];
    size_t info = netlink_nest(message, IFLA_LINKINFO);
    netlink_add(message, IFLA_INFO_KIND, kind, strlen(kind));
    size_t data = netlink_nest(message, IFLA_INFO_DATA);
    for (size_t i = 0; i < device->option_count; i++)
        if (device->options[i].size == 1)
            netlink_add(message, device->options[i].attribute,
                        &(unsigned char){(unsigned char)device->options[i].value}, 1);
        else
            netlink_add_number(message, device->options[i].attribute, device->options[i].value);
    if (device->kind == NETWORK_BRIDGE)
        netlink_add_number(message, IFLA_BR_STP_STATE, device->stp ? 1 : 0);
    if (device->kind == NETWORK_VLAN)
        netlink_add(message, IFLA_VLAN_ID, &(unsigned short){(unsigned short)device->vlan}, 2);
    netlink_end(message, data);
    netlink_end(message, info);
}

/* An interface of that name: bonding makes one of its own when it is loaded. */
static void network_apply_change(struct network_plan *plan, const struct network_device *device,
                                 int index)
{
    struct netlink_message message;
    network_apply_begin(&message, index, 0);
    network_apply_add_kind(&message, device);
    network_apply_send(plan, device, &message, "changing what is there");
}

/* "eth0.7", if that is a name. */
static void network_apply_name_vlan(struct network_device *device, int below)
{
    char name[IF_NAMESIZE + 8], link[IF_NAMESIZE];
    if (!if_indextoname((unsigned)below, link))
        return;
    snprintf(name, sizeof name, "%s.%ld", link, device->vlan);
    if (network_is_name(name))
        snprintf(device->name, sizeof device->name, "%.15s", name);
}

/* A bond, bridge or VLAN. */
static void network_apply_create(struct network_plan *plan, size_t number)
{
    struct network_device *device = &plan->network->devices[number];
    struct netlink_message message;
    struct failure failure;
    const struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
    int below = network_apply_index(plan, device->link);
    if (!device->name[0] && below > 0)
        network_apply_name_vlan(device, below);
    if (!device->name[0] || (device->kind == NETWORK_VLAN && (below == 0 || device->vlan < 0))) {
        report("network: %s: its name, link or number is invalid", device->id);
        return;
    }
    netlink_begin(&message, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
    netlink_add(&message, IFLA_IFNAME, device->name, strlen(device->name) + 1);
    if (device->kind == NETWORK_VLAN)
        netlink_add_number(&message, IFLA_LINK, (unsigned)below);
    network_apply_add_kind(&message, device);
    if (netlink_do(&plan->netlink, &message, &failure) < 0) {
        if (errno != EEXIST) {
            network_apply_report(device, "making it", &failure);
            return;
        }
        network_apply_change(plan, device, (int)if_nametoindex(device->name));
    }
    plan->indexes[number] = (int)if_nametoindex(device->name);
}

/* Bonds and bridges before the VLANs on them, and those in the order of the document. */
static void network_apply_create_all(struct network_plan *plan)
{
    for (int vlans = 0; vlans <= 1; vlans++)
        for (size_t i = 0; i < plan->network->count; i++) {
            enum network_kind kind = plan->network->devices[i].kind;
            if (kind != NETWORK_PHYSICAL && (kind == NETWORK_VLAN) == (vlans == 1))
                network_apply_create(plan, i);
        }
}

/* Members of a bond have to be down. */
static void network_apply_join(struct network_plan *plan, size_t number)
{
    const struct network_device *device = &plan->network->devices[number];
    struct netlink_message message;
    for (size_t i = 0; i < device->member_count; i++) {
        int member = network_apply_index(plan, device->members[i]);
        if (member == 0 || member == plan->indexes[number]) {
            report("network: %s: its member '%.64s' is not there", device->id, device->members[i]);
            continue;
        }
        network_apply_begin(&message, member, 0);
        if (network_apply_send(plan, device, &message, "a member")) {
            network_apply_begin(&message, member, 0);
            netlink_add_number(&message, IFLA_MASTER, (unsigned)plan->indexes[number]);
            network_apply_send(plan, device, &message, "a member");
        }
    }
}

static void network_apply_set_up(struct network_plan *plan, size_t number)
{
    const struct network_device *device = &plan->network->devices[number];
    struct netlink_message message;
    int index = plan->indexes[number];
    if (device->has_new_mac) {
        network_apply_begin(&message, index, 0);
        netlink_add(&message, IFLA_ADDRESS, device->new_mac, NETWORK_MAC);
        network_apply_send(plan, device, &message, "its MAC address");
    }
    if (device->mtu > 0) {
        struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = index};
        netlink_begin(&message, RTM_NEWLINK, 0, &link, sizeof link);
        netlink_add_number(&message, IFLA_MTU, (unsigned)device->mtu);
        network_apply_send(plan, device, &message, "its MTU");
    }
    network_apply_begin(&message, index, IFF_UP);
    network_apply_send(plan, device, &message, "taking it up");
}

static size_t network_apply_size(const struct network_address *address)
{
    return address->family == AF_INET ? 4 : 16;
}

static void network_apply_address(struct network_plan *plan, size_t number,
                                  const struct network_address *address)
{
    const struct network_device *device = &plan->network->devices[number];
    struct netlink_message message;
    const struct ifaddrmsg body = {.ifa_family = (unsigned char)address->family,
                                   .ifa_prefixlen = (unsigned char)address->prefix,
                                   .ifa_index = (unsigned)plan->indexes[number]};
    netlink_begin(&message, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof body);
    netlink_add(&message, IFA_LOCAL, address->bytes, network_apply_size(address));
    netlink_add(&message, IFA_ADDRESS, address->bytes, network_apply_size(address));
    if (address->family == AF_INET && address->prefix < 31) {
        unsigned char broadcast[4];
        for (int i = 0; i < 32; i++) {
            unsigned char bit = (unsigned char)(0x80 >> i % 8);
            if (i % 8 == 0)
                broadcast[i / 8] = address->bytes[i / 8];
            if (i >= address->prefix)
                broadcast[i / 8] |= bit;
        }
        netlink_add(&message, IFA_BROADCAST, broadcast, sizeof broadcast);
    }
    network_apply_send(plan, device, &message, "an address");
}

static void network_apply_route(struct network_plan *plan, size_t number,
                                const struct network_route *route)
{
    const struct network_device *device = &plan->network->devices[number];
    struct netlink_message message;
    const struct rtmsg body = {
        .rtm_family = (unsigned char)route->to.family,
        .rtm_dst_len = (unsigned char)route->to.prefix,
        .rtm_table = RT_TABLE_MAIN,
        .rtm_protocol = RTPROT_STATIC,
        .rtm_scope = route->via.family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
        .rtm_type = RTN_UNICAST,
        .rtm_flags = route->on_link ? RTNH_F_ONLINK : 0,
    };
    netlink_begin(&message, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof body);
    if (route->to.prefix > 0)
        netlink_add(&message, RTA_DST, route->to.bytes, network_apply_size(&route->to));
    if (route->via.family)
        netlink_add(&message, RTA_GATEWAY, route->via.bytes, network_apply_size(&route->via));
    netlink_add_number(&message, RTA_OIF, (unsigned)plan->indexes[number]);
    if (route->metric >= 0)
        netlink_add_number(&message, RTA_PRIORITY, (unsigned)route->metric);
    network_apply_send(plan, device, &message, "a route");
}

/* Every interface that is there, one step after the other: routes need what stands before. */
static void network_apply_each(struct network_plan *plan,
                               void (*step)(struct network_plan *, size_t))
{
    for (size_t i = 0; i < plan->network->count; i++)
        if (plan->indexes[i] > 0)
            step(plan, i);
}

static void network_apply_addresses(struct network_plan *plan, size_t number)
{
    const struct network_device *device = &plan->network->devices[number];
    for (size_t i = 0; i < device->address_count; i++)
        network_apply_address(plan, number, &device->addresses[i]);
    char name[IF_NAMESIZE];
    if (!device->dhcp)
        return;
    report("network: %s: its addresses are left to a DHCP client", device->id);
    if (if_indextoname((unsigned)plan->indexes[number], name))
        text_format(plan->dhcp, " %s", name);
}

static void network_apply_routes(struct network_plan *plan, size_t number)
{
    const struct network_device *device = &plan->network->devices[number];
    for (size_t i = 0; i < device->route_count; i++)
        network_apply_route(plan, number, &device->routes[i]);
}

/* A change that changes nothing: whether this container may. */
static int network_apply_try(struct network_plan *plan, struct failure *failure)
{
    struct netlink_message message;
    const struct ifinfomsg loopback = {.ifi_family = AF_UNSPEC, .ifi_index = 1};
    netlink_begin(&message, RTM_NEWLINK, 0, &loopback, sizeof loopback);
    if (netlink_do(&plan->netlink, &message, failure) == 0)
        return 0;
    return errno == EPERM ? failed(failure, "not permitted: the container needs CAP_NET_ADMIN "
                                            "(capabilities.add)")
                          : -1;
}

void network_apply(struct network *network, struct text *dhcp)
{
    struct network_plan plan = {.network = network, .dhcp = dhcp};
    struct failure failure;
    if (netlink_open(&plan.netlink, &failure) < 0) {
        report("network: %s", failure.text);
        return;
    }
    if (network_apply_try(&plan, &failure) < 0 || network_apply_find(&plan, &failure) < 0) {
        report("network: %s", failure.text);
    } else {
        network_apply_rename(&plan);
        network_apply_create_all(&plan);
        network_apply_each(&plan, network_apply_join);
        network_apply_each(&plan, network_apply_set_up);
        network_apply_each(&plan, network_apply_addresses);
        network_apply_each(&plan, network_apply_routes);
    }
    netlink_close(&plan.netlink);
}
