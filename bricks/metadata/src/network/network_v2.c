/* network_v2.c: see network_v2.h. */
#include "network/network_v2.h"

#include "json/json_value.h"
#include "network/network_bond.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

enum { TEXT = 256, MAX_MTU = 65535, MAX_METRIC = 0x7fffffff };

static void network_v2_match(struct network_device *device, const struct json *source)
{
    char text[TEXT];
    const struct json *match = json_member(source, "match");
    if (match && json_value_text(match, "macaddress", text, sizeof text) == 0) {
        device->by_mac = network_parse_mac(text, device->mac) == 0;
        if (!device->by_mac)
            report("network: %s: '%.64s' is no MAC address", device->id, text);
    } else if (match && json_value_text(match, "name", text, sizeof text) == 0) {
        snprintf(device->pattern, sizeof device->pattern, "%.15s", text);
    } else if (match) {
        report("network: %s: it matches neither a MAC address nor a name", device->id);
    }
    if (!match)
        snprintf(device->pattern, sizeof device->pattern, "%.15s", device->id);
    if (json_value_text(source, "set-name", text, sizeof text) == 0) {
        if (network_is_name(text))
            snprintf(device->name, sizeof device->name, "%.15s", text);
        else
            report("network: %s: '%.64s' is no interface's name", device->id, text);
    }
}

/* Strings, or mappings of an address to what is said of it. */
static void network_v2_addresses(struct network_device *device, const struct json *source)
{
    char text[TEXT];
    const struct json *entry = json_value_entries(source, "addresses");
    for (; entry; entry = entry->next)
        if (entry->type == JSON_OBJECT && entry->first)
            network_add_address(device, entry->first->key, NULL);
        else if (json_value_copy(entry, text, sizeof text) == 0)
            network_add_address(device, text, NULL);
}

static void network_v2_route(struct network_device *device, const struct json *source)
{
    static const char *const known[] = {"to", "via", "metric", "on-link", NULL};
    char to[TEXT], via[TEXT];
    json_value_text(source, "to", to, sizeof to);
    json_value_text(source, "via", via, sizeof via);
    network_report_others(device->id, source, known);
    if (!json_member(source, "table") && !json_member(source, "type"))
        network_add_route(device, to, "", via, json_value_number(source, "metric", 0, MAX_METRIC),
                          json_value_flag(source, "on-link", false));
}

static void network_v2_routes(struct network_device *device, const struct json *source)
{
    static const char *const gateways[] = {"gateway4", "gateway6"};
    char via[TEXT];
    for (size_t i = 0; i < sizeof gateways / sizeof *gateways; i++)
        if (json_value_text(source, gateways[i], via, sizeof via) == 0)
            network_add_route(device, "default", "", via, -1, false);
    const struct json *route = json_value_entries(source, "routes");
    for (; route; route = route->next)
        if (route->type == JSON_OBJECT)
            network_v2_route(device, route);
}

static void network_v2_servers(struct network *network, const struct json *source)
{
    char text[TEXT];
    const struct json *servers = json_member(source, "nameservers");
    const struct json *entry = json_value_entries(servers, "addresses");
    for (; entry; entry = entry->next)
        if (json_value_copy(entry, text, sizeof text) == 0)
            network_add_server(network, text);
    for (entry = json_value_entries(servers, "search"); entry; entry = entry->next)
        if (json_value_copy(entry, text, sizeof text) == 0)
            network_add_search(network, text);
}

/* What a bond, bridge or VLAN is made of. */
static void network_v2_compose(struct network_device *device, const struct json *source)
{
    char text[TEXT];
    const struct json *entry = json_value_entries(source, "interfaces");
    for (; entry; entry = entry->next)
        if (json_value_copy(entry, text, sizeof text) == 0)
            network_add_member(device, text);
    if (json_value_text(source, "link", text, sizeof text) == 0)
        snprintf(device->link, sizeof device->link, "%.63s", text);
    device->vlan = json_value_number(source, "id", 0, 4094);
    const struct json *parameters = json_member(source, "parameters");
    device->stp = json_value_flag(parameters, "stp", false);
    if (device->kind != NETWORK_BOND || !parameters)
        return;
    for (entry = parameters->first; entry; entry = entry->next)
        if (json_value_copy(entry, text, sizeof text) < 0 ||
            network_bond_add_option(device, entry->key, text) < 0)
            report("network: %s: the option %.64s is not supported", device->id, entry->key);
}

static void network_v2_device(struct network *network, enum network_kind kind,
                              const struct json *source)
{
    static const char *const known[] = {
        "match",    "set-name", "addresses", "gateway4",   "gateway6",   "routes",
        "mtu",      "dhcp4",    "dhcp6",     "macaddress", "interfaces", "nameservers",
        "optional", "link",     "id",        "parameters", NULL};
    char text[TEXT];
    if (source->type != JSON_OBJECT)
        return;
    struct network_device *device = network_add(network, kind, source->key);
    if (!device)
        return;
    if (kind == NETWORK_PHYSICAL)
        network_v2_match(device, source);
    else if (network_is_name(source->key))
        snprintf(device->name, sizeof device->name, "%.15s", source->key);
    if (json_value_text(source, "macaddress", text, sizeof text) == 0)
        device->has_new_mac = network_parse_mac(text, device->new_mac) == 0;
    device->mtu = json_value_number(source, "mtu", 68, MAX_MTU);
    device->dhcp =
        json_value_flag(source, "dhcp4", false) || json_value_flag(source, "dhcp6", false);
    network_v2_compose(device, source);
    network_v2_addresses(device, source);
    network_v2_routes(device, source);
    network_v2_servers(network, source);
    network_report_others(device->id, source, known);
}

void network_v2_read(const struct json *root, struct network *network)
{
    static const char *const sections[] = {"ethernets", "bonds", "bridges", "vlans"};
    static const char *const known[] = {"version", "renderer", "ethernets", "bonds",
                                        "bridges", "vlans",    NULL};
    for (int kind = NETWORK_PHYSICAL; kind <= NETWORK_VLAN; kind++) {
        const struct json *section = json_member(root, sections[kind]);
        if (!section || section->type != JSON_OBJECT)
            continue;
        for (const struct json *device = section->first; device; device = device->next)
            network_v2_device(network, (enum network_kind)kind, device);
    }
    network_report_others("version 2", root, known);
}
