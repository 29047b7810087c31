/* network_openstack.c: see network_openstack.h. */
#include "network/network_openstack.h"

#include "json/json_value.h"
#include "network/network_bond.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

enum { TEXT = 256, MAX_MTU = 65535 };

static void network_openstack_bond(struct network_device *device, const struct json *link)
{
    static const char *const options[] = {"bond_mode", "bond_miimon", "bond_xmit_hash_policy"};
    char text[TEXT];
    const struct json *member = json_value_entries(link, "bond_links");
    for (; member; member = member->next)
        if (json_value_copy(member, text, sizeof text) == 0)
            network_add_member(device, text);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (json_value_text(link, options[i], text, sizeof text) == 0 &&
            network_bond_add_option(device, options[i], text) < 0)
            report("network: %s: the option %s is not supported", device->id, options[i]);
}

static size_t network_openstack_bonds(const struct network *network)
{
    size_t bonds = 0;
    for (size_t i = 0; i < network->count; i++)
        bonds += network->devices[i].kind == NETWORK_BOND;
    return bonds;
}

/*
 * Links are known by their MAC addresses. As with cloud-init, bonds are numbered, and a VLAN is
 * named after what it is on.
 */
static void network_openstack_link(struct network *network, const struct json *link)
{
    char id[TEXT], type[TEXT], text[TEXT];
    json_value_text(link, "id", id, sizeof id);
    json_value_text(link, "type", type, sizeof type);
    enum network_kind kind = strcmp(type, "bond") == 0   ? NETWORK_BOND
                             : strcmp(type, "vlan") == 0 ? NETWORK_VLAN
                                                         : NETWORK_PHYSICAL;
    struct network_device *device = network_add(network, kind, id);
    if (!device)
        return;
    const char *key = kind == NETWORK_VLAN ? "vlan_mac_address" : "ethernet_mac_address";
    bool mac = json_value_text(link, key, text, sizeof text) == 0;
    if (mac && kind == NETWORK_PHYSICAL)
        device->by_mac = network_parse_mac(text, device->mac) == 0;
    else if (mac)
        device->has_new_mac = network_parse_mac(text, device->new_mac) == 0;
    if (kind == NETWORK_PHYSICAL && !device->by_mac)
        report("network: %s: no MAC address", device->id);
    device->mtu = json_value_number(link, "mtu", 68, MAX_MTU);
    if (kind == NETWORK_BOND) {
        snprintf(device->name, sizeof device->name, "bond%zu",
                 network_openstack_bonds(network) - 1);
        network_openstack_bond(device, link);
    } else if (kind == NETWORK_VLAN) {
        device->vlan = json_value_number(link, "vlan_id", 0, 4094);
        if (json_value_text(link, "vlan_link", text, sizeof text) == 0)
            snprintf(device->link, sizeof device->link, "%.63s", text);
    }
}

static void network_openstack_services(struct network *network, const struct json *holder)
{
    char type[TEXT], address[TEXT];
    const struct json *service = json_value_entries(holder, "services");
    for (; service; service = service->next)
        if (json_value_text(service, "type", type, sizeof type) == 0 && strcmp(type, "dns") == 0 &&
            json_value_text(service, "address", address, sizeof address) == 0)
            network_add_server(network, address);
}

static void network_openstack_network(struct network *network, const struct json *source)
{
    char text[TEXT], type[TEXT], netmask[TEXT], via[TEXT];
    json_value_text(source, "link", text, sizeof text);
    struct network_device *device = network_find(network, text);
    if (!device) {
        report("network: '%.64s': a network without a link", text);
        return;
    }
    json_value_text(source, "type", type, sizeof type);
    if (strstr(type, "dhcp") || strstr(type, "slaac")) {
        device->dhcp = true;
        return;
    }
    json_value_text(source, "netmask", netmask, sizeof netmask);
    if (json_value_text(source, "ip_address", text, sizeof text) == 0)
        network_add_address(device, text, netmask);
    if (json_value_text(source, "gateway", via, sizeof via) == 0)
        network_add_route(device, "default", "", via, -1, false);
    const struct json *route = json_value_entries(source, "routes");
    for (; route; route = route->next) {
        json_value_text(route, "network", text, sizeof text);
        json_value_text(route, "netmask", netmask, sizeof netmask);
        json_value_text(route, "gateway", via, sizeof via);
        network_add_route(device, text, netmask, via, -1, false);
    }
    network_openstack_services(network, source);
}

void network_openstack_read(const struct json *root, struct network *network)
{
    const struct json *entry = json_value_entries(root, "links");
    for (; entry; entry = entry->next)
        network_openstack_link(network, entry);
    for (entry = json_value_entries(root, "networks"); entry; entry = entry->next)
        network_openstack_network(network, entry);
    network_openstack_services(network, root);
}
