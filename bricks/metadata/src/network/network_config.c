/* network_config.c: see network_config.h. */
#include "network/network_config.h"

#include "json/json_value.h"
#include "network/network_apply.h"
#include "network/network_openstack.h"
#include "network/network_v1.h"
#include "network/network_v2.h"
#include "report.h"
#include "text.h"
#include "yaml/yaml.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RESOLV_CONF "/etc/resolv.conf"

/* In place: other containers have bound that file. */
static void network_config_write_servers(const struct network *network)
{
    struct text text = {0};
    if (network->server_count == 0 && !network->search[0])
        return;
    for (size_t i = 0; i < network->server_count; i++) {
        char address[INET6_ADDRSTRLEN];
        const struct network_address *server = &network->servers[i];
        if (inet_ntop(server->family, server->bytes, address, sizeof address))
            text_format(&text, "nameserver %s\n", address);
    }
    if (network->search[0])
        text_format(&text, "search %s\n", network->search);
    int file = open(RESOLV_CONF, O_WRONLY | O_TRUNC | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0 || write(file, text.bytes, text.length) != (ssize_t)text.length)
        report("network: " RESOLV_CONF ": %s", strerror(errno));
    if (file >= 0)
        close(file);
    text_free(&text);
}

static int network_config_read(const struct json *root, struct network *network)
{
    const struct json *inner = json_member(root, "network");
    root = inner ? inner : root;
    if (json_member(root, "links"))
        network_openstack_read(root, network);
    else if (json_value_number(root, "version", 1, 1) == 1)
        network_v1_read(root, network);
    else if (json_value_number(root, "version", 2, 2) == 2)
        network_v2_read(root, network);
    else
        return -1;
    return 0;
}

void network_config_apply_tree(struct result *result, const struct json *root)
{
    const struct json *inner = json_member(root, "config");
    if (inner && json_value_is_scalar(inner) && strncmp(inner->text, "disabled", 8) == 0)
        return;
    if (!result->allowed.network) {
        report("network: not carried out (--network)");
        return;
    }
    struct network *network = calloc(1, sizeof *network);
    if (!network) {
        report("network: %s", strerror(errno));
    } else if (network_config_read(root, network) < 0) {
        report("network: neither of version 1 nor of version 2");
    } else {
        network_apply(network, &result->dhcp);
        result->has_network = true;
        network_config_write_servers(network);
    }
    free(network);
}

void network_config_apply(struct result *result, const char *name, const char *bytes, size_t length)
{
    struct failure failure;
    char *copy;
    result_value(result, name, bytes, length);
    struct json *root = yaml_parse_copy(bytes, length, &copy, &failure);
    if (root)
        network_config_apply_tree(result, root);
    else
        report("network: %s: %s", name, failure.text);
    yaml_free(root);
    free(copy);
}
