/*
 * provider.c: the table of providers (see provider.h). Paths are those of each cloud's own manual.
 */
#include "provider.h"

#include "azure.h"
#include "cloud.h"
#include "disc.h"
#include "refused.h"
#include "scaleway.h"
#include "user_file.h"
#include "vmware/vmware.h"

#include <string.h>

#define LINK_LOCAL "169.254.169.254"
#define EC2 "/latest/meta-data/"
#define GOOGLE "/computeMetadata/v1/"
#define HETZNER "/hetzner/v1/metadata/"
#define VULTR "/v1/"
#define OCEAN "/metadata/v1/"

/* OpenStack serves the paths of AWS, too. */
#define EC2_VALUES                                                                      \
    {                                                                                   \
        {"public_ipv4", EC2 "public-ipv4"}, {"local_ipv4", EC2 "local-ipv4"},           \
            {"availability_zone", EC2 "placement/availability-zone"},                   \
            {"instance_type", EC2 "instance-type"}, {"instance_id", EC2 "instance-id"}, \
        {                                                                               \
            "local_hostname", EC2 "local-hostname"                                      \
        }                                                                               \
    }

static const struct cloud provider_aws = {
    .name = "AWS",
    .address = LINK_LOCAL,
    .token = true,
    .hostname = EC2 "hostname",
    .values = EC2_VALUES,
    .keys = EC2 "public-keys/0/openssh-key",
    .user_data = "/latest/user-data",
};

static const struct cloud provider_openstack = {
    .name = "openstack",
    .address = LINK_LOCAL,
    .hostname = EC2 "hostname",
    .values = EC2_VALUES,
    .keys = EC2 "public-keys/0/openssh-key",
    .user_data = "/latest/user-data",
};

/* Google's service has this address, whatever serves names. */
static const struct cloud provider_gcp = {
    .name = "GCP",
    .address = LINK_LOCAL,
    .host = "metadata.google.internal",
    .headers = "Metadata-Flavor: Google\r\n",
    .flavor = "Google",
    .hostname = GOOGLE "instance/hostname",
    .keys_form = CLOUD_KEYS_USERS,
    .keys = GOOGLE "project/attributes/ssh-keys",
    .user_data = GOOGLE "instance/attributes/user-data",
};

/* Its own paths, not those that it shares with AWS. */
static const struct cloud provider_hetzner = {
    .name = "Hetzner",
    .address = LINK_LOCAL,
    .hostname = HETZNER "hostname",
    .values = {{"public_ipv4", HETZNER "public-ipv4"},
               {"local_ipv4", EC2 "local-ipv4"},
               {"instance_id", HETZNER "instance-id"}},
    .keys_form = CLOUD_KEYS_JSON,
    .keys = HETZNER "public-keys",
    .user_data = "/hetzner/v1/userdata",
};

static const struct cloud provider_vultr = {
    .name = "Vultr",
    .address = LINK_LOCAL,
    .hostname = VULTR "hostname",
    .values = {{"public_ipv4", VULTR "interfaces/0/ipv4/address"},
               {"private_ipv4", VULTR "interfaces/1/ipv4/address"},
               {"private_netmask", VULTR "interfaces/1/ipv4/netmask"},
               {"region_code", VULTR "region/regioncode"},
               {"instance_id", VULTR "instanceid"}},
    .keys = VULTR "public-keys",
};

static const struct cloud provider_digitalocean = {
    .name = "DigitalOcean",
    .address = LINK_LOCAL,
    .hostname = OCEAN "hostname",
    .values = {{"public_ipv4", OCEAN "interfaces/public/0/ipv4/address"},
               {"private_ipv4", OCEAN "interfaces/private/0/ipv4/address"},
               {"region", OCEAN "region"},
               {"id", OCEAN "id"}},
    .keys = OCEAN "public-keys",
    .user_data = OCEAN "user-data",
};

static const struct cloud provider_metaldata = {
    .name = "metaldata",
    .address = "metaldata",
    .hostname = "/get/meta/hostname",
    .values = {{"public_ipv4", "/get/meta/public-ipv4"},
               {"private_ipv4", "/get/meta/private-ipv4"},
               {"failure_domain", "/get/meta/failure-domain"},
               {"machine_id", "/get/meta/machine-id"},
               {"machine_type", "/get/meta/machine-type"}},
    .keys = "/get/meta/authorized-keys",
    .user_data = "/get/user",
};

static const struct provider provider_table[] = {
    {"aws", PROVIDER_NETWORK, cloud_find, &provider_aws},
    {"gcp", PROVIDER_NETWORK, cloud_find, &provider_gcp},
    {"hetzner", PROVIDER_NETWORK, cloud_find, &provider_hetzner},
    {"openstack", PROVIDER_NETWORK, cloud_find, &provider_openstack},
    {"scaleway", PROVIDER_NETWORK, scaleway_find, NULL},
    {"vultr", PROVIDER_NETWORK, cloud_find, &provider_vultr},
    {"digitalocean", PROVIDER_NETWORK, cloud_find, &provider_digitalocean},
    {"azure", PROVIDER_NETWORK, azure_find, NULL},
    {"metaldata", PROVIDER_NETWORK, cloud_find, &provider_metaldata},
    {"equinixmetal", PROVIDER_NETWORK, refused_find,
     "not supported: its service is reached over TLS, and was shut down"},
    {"vmware", PROVIDER_NETWORK, vmware_find, NULL},
    {"cdrom", PROVIDER_DISC, disc_find, NULL},
    {"file=", PROVIDER_FILE, user_file_find, NULL},
};

const struct provider *provider_named(const char *argument)
{
    for (size_t i = 0; i < sizeof provider_table / sizeof *provider_table; i++) {
        const char *known = provider_table[i].argument;
        size_t length = strlen(known);
        bool prefix = known[length - 1] == '=';
        if (prefix ? strncmp(known, argument, length) == 0 : strcmp(known, argument) == 0)
            return &provider_table[i];
    }
    return NULL;
}
