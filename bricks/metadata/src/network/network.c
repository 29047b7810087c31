/* network.c: see network.h. */
#include "network/network.h"

#include "report.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct network_device *network_find(struct network *network, const char *id)
{
    for (size_t i = 0; i < network->count; i++)
        if (strcmp(network->devices[i].id, id) == 0)
            return &network->devices[i];
    return NULL;
}

struct network_device *network_add(struct network *network, enum network_kind kind, const char *id)
{
    if (!*id || strlen(id) >= NETWORK_ID || network_find(network, id)) {
        report("network: '%.64s': a device without a name, or of one that is taken", id);
        return NULL;
    }
    if (network->count == MAX_DEVICES) {
        report("network: more than %d devices", MAX_DEVICES);
        return NULL;
    }
    struct network_device *device = &network->devices[network->count++];
    *device = (struct network_device){.kind = kind, .mtu = -1, .vlan = -1};
    snprintf(device->id, sizeof device->id, "%s", id);
    return device;
}

bool network_is_name(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < length; i++)
        if (name[i] <= ' ' || name[i] > '~' || strchr("/:%", name[i]))
            return false;
    return length > 0 && length < NETWORK_NAME && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

int network_parse_mac(const char *text, unsigned char *mac)
{
    for (int i = 0; i < NETWORK_MAC; i++) {
        if (strspn(text, "0123456789abcdefABCDEF") < 2)
            return -1;
        mac[i] = (unsigned char)strtoul((const char[]){text[0], text[1], '\0'}, NULL, 16);
        text += 2;
        if (*text != (i < NETWORK_MAC - 1 ? ':' : '\0'))
            return -1;
        text++;
    }
    return 0;
}

static int network_bits(const struct network_address *address)
{
    return address->family == AF_INET ? 32 : 128;
}

static int network_parse_prefix(const char *text, struct network_address *address)
{
    if (!*text || strlen(text) > 3 || strspn(text, "0123456789") != strlen(text))
        return -1;
    address->prefix = atoi(text);
    return address->prefix <= network_bits(address) ? 0 : -1;
}

int network_parse_address(const char *text, struct network_address *address)
{
    char copy[64];
    *address = (struct network_address){0};
    if ((size_t)snprintf(copy, sizeof copy, "%s", text) >= sizeof copy)
        return -1;
    char *slash = strchr(copy, '/');
    if (slash)
        *slash = '\0';
    address->family = strchr(copy, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(address->family, copy, address->bytes) != 1)
        return -1;
    address->prefix = network_bits(address);
    return slash ? network_parse_prefix(slash + 1, address) : 0;
}

int network_parse_netmask(const char *text, struct network_address *address)
{
    struct network_address mask;
    if (network_parse_prefix(text, address) == 0)
        return 0;
    if (strchr(text, '/') || network_parse_address(text, &mask) < 0 ||
        mask.family != address->family)
        return -1;
    int ones = 0, bits = network_bits(address);
    while (ones < bits && mask.bytes[ones / 8] & 0x80 >> ones % 8)
        ones++;
    for (int i = ones; i < bits; i++)
        if (mask.bytes[i / 8] & 0x80 >> i % 8)
            return -1;
    address->prefix = ones;
    return 0;
}

void network_add_address(struct network_device *device, const char *text, const char *netmask)
{
    struct network_address address;
    if (network_parse_address(text, &address) < 0 ||
        (netmask && *netmask && network_parse_netmask(netmask, &address) < 0))
        report("network: %s: the address '%.64s' is invalid", device->id, text);
    else if (device->address_count == MAX_ADDRESSES)
        report("network: %s: more than %d addresses", device->id, MAX_ADDRESSES);
    else
        device->addresses[device->address_count++] = address;
}

/* The network of an address: no bits behind the prefix, or the kernel refuses the route. */
static void network_mask(struct network_address *address)
{
    for (int i = address->prefix; i < network_bits(address); i++)
        address->bytes[i / 8] &= (unsigned char)~(0x80 >> i % 8);
}

/* "default" is of the gateway's family. */
static int network_parse_route(struct network_route *route, const char *to, const char *netmask,
                               const char *via)
{
    if (*via && (strchr(via, '/') || network_parse_address(via, &route->via) < 0))
        return -1;
    if (strcmp(to, "default") == 0) {
        route->to.family = route->via.family ? route->via.family : AF_INET;
        return 0;
    }
    if (network_parse_address(to, &route->to) < 0 ||
        (*netmask && network_parse_netmask(netmask, &route->to) < 0))
        return -1;
    network_mask(&route->to);
    return route->via.family && route->via.family != route->to.family ? -1 : 0;
}

void network_add_route(struct network_device *device, const char *to, const char *netmask,
                       const char *via, long metric, bool on_link)
{
    struct network_route route = {.metric = metric, .on_link = on_link};
    if (network_parse_route(&route, to, netmask, via) < 0)
        report("network: %s: the route '%.64s' by '%.64s' is invalid", device->id, to, via);
    else if (device->route_count == MAX_ROUTES)
        report("network: %s: more than %d routes", device->id, MAX_ROUTES);
    else
        device->routes[device->route_count++] = route;
}

void network_add_server(struct network *network, const char *text)
{
    struct network_address server;
    if (strchr(text, '/') || network_parse_address(text, &server) < 0) {
        report("network: the name server '%.64s' is no address", text);
        return;
    }
    for (size_t i = 0; i < network->server_count; i++)
        if (memcmp(&network->servers[i], &server, sizeof server) == 0)
            return;
    if (network->server_count < MAX_SERVERS)
        network->servers[network->server_count++] = server;
}

void network_add_search(struct network *network, const char *text)
{
    size_t used = strlen(network->search), length = strlen(text);
    if (length == 0 || used + length + 2 > sizeof network->search ||
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") != length)
        report("network: the search domain '%.64s' is invalid, or one too many", text);
    else
        snprintf(network->search + used, sizeof network->search - used, "%s%s", used ? " " : "",
                 text);
}

void network_add_member(struct network_device *device, const char *id)
{
    if (device->member_count == MAX_MEMBERS || strlen(id) >= NETWORK_ID)
        report("network: %s: too many members", device->id);
    else
        snprintf(device->members[device->member_count++], NETWORK_ID, "%s", id);
}

void network_report_others(const char *id, const struct json *object, const char *const *known)
{
    char names[256] = "";
    for (const struct json *member = object->first; member; member = member->next) {
        size_t i = 0, length = strlen(names);
        while (known[i] && strcmp(known[i], member->key) != 0)
            i++;
        if (!known[i])
            snprintf(names + length, sizeof names - length, "%s%s", length ? ", " : "",
                     member->key);
    }
    if (*names)
        report("network: %s: not carried out: %s", id, names);
}
