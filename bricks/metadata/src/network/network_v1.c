/* network_v1.c: see network_v1.h. */
#include "network/network_v1.h"

#include "json/json_value.h"
#include "network/network_bond.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

enum { TEXT = 256, MAX_MTU = 65535, MAX_METRIC = 0x7fffffff };

/* A string, or a sequence of strings. */
static void network_v1_each(struct network *network, const struct json *value,
                            void (*add)(struct network *, const char *))
{
    char text[TEXT];
    const struct json *entry = value && value->type == JSON_ARRAY ? value->first : NULL;
    if (json_value_copy(value, text, sizeof text) == 0)
        add(network, text);
    for (; entry; entry = entry->next)
        if (json_value_copy(entry, text, sizeof text) == 0)
            add(network, text);
}

static void network_v1_route(struct network_device *device, const struct json *source)
{
    char to[TEXT], netmask[TEXT], via[TEXT];
    if (json_value_text(source, "network", to, sizeof to) < 0)
        json_value_text(source, "destination", to, sizeof to);
    json_value_text(source, "netmask", netmask, sizeof netmask);
    json_value_text(source, "gateway", via, sizeof via);
    network_add_route(device, to, netmask, via, json_value_number(source, "metric", 0, MAX_METRIC),
                      false);
}

static void network_v1_static(struct network_device *device, const struct json *subnet)
{
    char address[TEXT], netmask[TEXT], via[TEXT];
    json_value_text(subnet, "netmask", netmask, sizeof netmask);
    if (json_value_text(subnet, "address", address, sizeof address) == 0)
        network_add_address(device, address, netmask);
    if (json_value_text(subnet, "gateway", via, sizeof via) == 0)
        network_add_route(device, "default", "", via, -1, false);
    const struct json *route = json_value_entries(subnet, "routes");
    for (; route; route = route->next)
        network_v1_route(device, route);
}

static void network_v1_subnet(struct network *network, struct network_device *device,
                              const struct json *subnet)
{
    static const char *const known[] = {
        "type",       "address", "netmask", "gateway", "routes", "dns_nameservers",
        "dns_search", "control", "ipv4",    "ipv6",    NULL};
    char type[TEXT];
    if (subnet->type != JSON_OBJECT || json_value_text(subnet, "type", type, sizeof type) < 0)
        return;
    if (strncmp(type, "dhcp", 4) == 0)
        device->dhcp = true;
    else if (strcmp(type, "static") == 0 || strcmp(type, "static6") == 0)
        network_v1_static(device, subnet);
    else if (strcmp(type, "manual") != 0)
        report("network: %s: addresses by '%.32s' are not supported", device->id, type);
    network_v1_each(network, json_member(subnet, "dns_nameservers"), network_add_server);
    network_v1_each(network, json_member(subnet, "dns_search"), network_add_search);
    network_report_others(device->id, subnet, known);
}

static void network_v1_members(struct network_device *device, const struct json *source,
                               const char *key)
{
    char text[TEXT];
    const struct json *entry = json_value_entries(source, key);
    for (; entry; entry = entry->next)
        if (json_value_copy(entry, text, sizeof text) == 0)
            network_add_member(device, text);
}

static void network_v1_options(struct network_device *device, const struct json *source)
{
    char text[TEXT];
    const struct json *parameters = json_member(source, "params");
    const struct json *entry =
        parameters && parameters->type == JSON_OBJECT ? parameters->first : NULL;
    for (; entry; entry = entry->next) {
        bool copied = json_value_copy(entry, text, sizeof text) == 0;
        if (device->kind == NETWORK_BRIDGE && copied && strcmp(entry->key, "bridge_stp") == 0)
            device->stp = json_value_flag(parameters, "bridge_stp", false);
        else if (device->kind != NETWORK_BOND || !copied ||
                 network_bond_add_option(device, entry->key, text) < 0)
            report("network: %s: the option %.64s is not supported", device->id, entry->key);
    }
}

static void network_v1_device(struct network *network, enum network_kind kind,
                              const struct json *source)
{
    static const char *const known[] = {"type",
                                        "name",
                                        "mac_address",
                                        "mtu",
                                        "subnets",
                                        "bond_interfaces",
                                        "bridge_interfaces",
                                        "vlan_link",
                                        "vlan_id",
                                        "params",
                                        NULL};
    char text[TEXT];
    json_value_text(source, "name", text, sizeof text);
    struct network_device *device = network_add(network, kind, text);
    if (!device)
        return;
    if (network_is_name(text))
        snprintf(device->name, sizeof device->name, "%.15s", text);
    bool mac = json_value_text(source, "mac_address", text, sizeof text) == 0;
    if (mac && kind == NETWORK_PHYSICAL)
        device->by_mac = network_parse_mac(text, device->mac) == 0;
    else if (mac)
        device->has_new_mac = network_parse_mac(text, device->new_mac) == 0;
    if (mac && !device->by_mac && !device->has_new_mac)
        report("network: %s: '%.64s' is no MAC address", device->id, text);
    if (kind == NETWORK_PHYSICAL && !mac)
        snprintf(device->pattern, sizeof device->pattern, "%s", device->name);
    device->mtu = json_value_number(source, "mtu", 68, MAX_MTU);
    if (json_value_text(source, "vlan_link", text, sizeof text) == 0)
        snprintf(device->link, sizeof device->link, "%.63s", text);
    device->vlan = json_value_number(source, "vlan_id", 0, 4094);
    network_v1_members(device, source, "bond_interfaces");
    network_v1_members(device, source, "bridge_interfaces");
    network_v1_options(device, source);
    const struct json *subnet = json_value_entries(source, "subnets");
    for (; subnet; subnet = subnet->next)
        network_v1_subnet(network, device, subnet);
    network_report_others(device->id, source, known);
}

/* A route of its own: of the device in whose network its gateway is, which the kernel knows. */
static void network_v1_global_route(struct network *network, const struct json *source)
{
    if (network->count == 0)
        report("network: a route without a device in front of it");
    else
        network_v1_route(&network->devices[network->count - 1], source);
}

static void network_v1_entry(struct network *network, const struct json *source)
{
    static const char *const kinds[] = {"physical", "bond", "bridge", "vlan"};
    char type[TEXT];
    json_value_text(source, "type", type, sizeof type);
    for (int kind = NETWORK_PHYSICAL; kind <= NETWORK_VLAN; kind++)
        if (strcmp(type, kinds[kind]) == 0) {
            network_v1_device(network, (enum network_kind)kind, source);
            return;
        }
    if (strcmp(type, "nameserver") == 0) {
        network_v1_each(network, json_member(source, "address"), network_add_server);
        network_v1_each(network, json_member(source, "search"), network_add_search);
    } else if (strcmp(type, "route") == 0) {
        network_v1_global_route(network, source);
    } else if (strcmp(type, "loopback") != 0) {
        report("network: the type '%.32s' is not supported", type);
    }
}

void network_v1_read(const struct json *root, struct network *network)
{
    const struct json *entry = json_value_entries(root, "config");
    for (; entry; entry = entry->next)
        network_v1_entry(network, entry);
}
