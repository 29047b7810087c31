/* links.c: see links.h. */
#include "network/links.h"

#include <fnmatch.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static bool links_is_composed(const struct rtattr *info)
{
    static const char *const kinds[] = {"bond", "bridge", "vlan", "macvlan", "team"};
    const struct rtattr *attribute = RTA_DATA(info);
    size_t size = RTA_PAYLOAD(info);
    for (; RTA_OK(attribute, size); attribute = RTA_NEXT(attribute, size))
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
            if (attribute->rta_type == IFLA_INFO_KIND &&
                strncmp(RTA_DATA(attribute), kinds[i], RTA_PAYLOAD(attribute)) == 0)
                return true;
    return false;
}

static void links_note(void *context, const struct ifinfomsg *message,
                       const struct rtattr *attribute, size_t size)
{
    struct links *links = context;
    if (links->count == MAX_INTERFACES || message->ifi_flags & IFF_LOOPBACK)
        return;
    struct link *link = &links->list[links->count++];
    *link = (struct link){.index = message->ifi_index};
    for (; RTA_OK(attribute, size); attribute = RTA_NEXT(attribute, size))
        if (attribute->rta_type == IFLA_IFNAME)
            snprintf(link->name, sizeof link->name, "%.15s", (const char *)RTA_DATA(attribute));
        else if (attribute->rta_type == IFLA_ADDRESS && RTA_PAYLOAD(attribute) == NETWORK_MAC)
            memcpy(link->mac, RTA_DATA(attribute), NETWORK_MAC);
        else if ((attribute->rta_type & NLA_TYPE_MASK) == IFLA_LINKINFO)
            link->composed = links_is_composed(attribute);
}

int links_read(struct links *links, struct netlink *netlink, struct failure *failure)
{
    links->count = 0;
    return netlink_links(netlink, links_note, links, failure);
}

struct link *links_named(struct links *links, const char *name)
{
    for (size_t i = 0; i < links->count; i++)
        if (strcmp(links->list[i].name, name) == 0)
            return &links->list[i];
    return NULL;
}

struct link *links_take(struct links *links, const struct network_device *device)
{
    for (size_t i = 0; i < links->count; i++) {
        struct link *link = &links->list[i];
        if (link->taken || link->composed)
            continue;
        if (device->by_mac ? memcmp(device->mac, link->mac, NETWORK_MAC) == 0
                           : device->pattern[0] && fnmatch(device->pattern, link->name, 0) == 0) {
            link->taken = true;
            return link;
        }
    }
    return NULL;
}
