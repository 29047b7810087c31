/* network_bond.c: see network_bond.h. */
#include "network/network_bond.h"

#include <linux/if_link.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct network_bond_option {
    const char *names[3];
    unsigned short attribute;
    unsigned char size;
    const char *values[8]; /* their places are their numbers; without any, it is a number */
};

static const struct network_bond_option network_bond_options[] = {
    {{"mode"},
     IFLA_BOND_MODE,
     1,
     {"balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb",
      "balance-alb"}},
    {{"miimon", "mii-monitor-interval"}, IFLA_BOND_MIIMON, 4, {NULL}},
    {{"updelay", "up-delay"}, IFLA_BOND_UPDELAY, 4, {NULL}},
    {{"downdelay", "down-delay"}, IFLA_BOND_DOWNDELAY, 4, {NULL}},
    {{"lacp-rate"}, IFLA_BOND_AD_LACP_RATE, 1, {"slow", "fast"}},
    {{"xmit-hash-policy", "transmit-hash-policy"},
     IFLA_BOND_XMIT_HASH_POLICY,
     1,
     {"layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4"}},
    {{"min-links"}, IFLA_BOND_MIN_LINKS, 4, {NULL}},
};

/* "bond-mode", "bond_mode" and "mode" are one. */
static bool network_bond_is(const char *name, const char *wanted)
{
    if (strncmp(name, "bond", 4) == 0 && (name[4] == '-' || name[4] == '_'))
        name += 5;
    for (; *name && *wanted; name++, wanted++)
        if (*name != *wanted && !(*name == '_' && *wanted == '-'))
            return false;
    return *name == *wanted;
}

static const struct network_bond_option *network_bond_option(const char *name)
{
    for (size_t i = 0; i < sizeof network_bond_options / sizeof *network_bond_options; i++)
        for (int j = 0; j < 3 && network_bond_options[i].names[j]; j++)
            if (network_bond_is(name, network_bond_options[i].names[j]))
                return &network_bond_options[i];
    return NULL;
}

int network_bond_add_option(struct network_device *device, const char *name, const char *value)
{
    const struct network_bond_option *option = network_bond_option(name);
    if (!option || device->option_count == MAX_BOND_OPTIONS)
        return -1;
    long number = -1;
    if (*value && strlen(value) < 7 && strspn(value, "0123456789") == strlen(value))
        number = atol(value);
    long limit = option->values[0] ? 0 : 1000000;
    for (int i = 0; i < 8 && option->values[i]; i++) {
        limit = i + 1;
        if (strcasecmp(option->values[i], value) == 0)
            number = i;
    }
    if (number < 0 || number >= limit)
        return -1;
    device->options[device->option_count++] =
        (struct network_option){option->attribute, option->size, (unsigned)number};
    return 0;
}
