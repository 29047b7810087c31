/* vmware.c: see vmware.h. Names of values and encodings are those of cloud-init and LinuxKit. */
#include "vmware/vmware.h"

#include "json/json_value.h"
#include "meta_data.h"
#include "network/network_config.h"
#include "ovf/ovf_env.h"
#include "report.h"
#include "user_data/encoding.h"
#include "vmware/backdoor.h"
#include "vmware/guest_rpc.h"
#include "yaml/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "VMWARE"

enum { MAX_GUESTINFO = 1 << 20 };

struct vmware_values {
    char *bytes[4];
    size_t lengths[4];
};

enum { METADATA, USER_DATA, VENDOR_DATA, OVF_ENVIRONMENT };

static const char *const vmware_names[] = {"metadata", "userdata", "vendordata", "ovfEnv"};

static char *vmware_ask(const struct guest_rpc *rpc, const char *name, const char *suffix,
                        size_t *length)
{
    struct failure failure;
    char question[64];
    snprintf(question, sizeof question, "info-get guestinfo.%s%s", name, suffix);
    char *answer = guest_rpc_ask(rpc, question, MAX_GUESTINFO, length, &failure);
    if (!answer && failure.text[0])
        report(NAME ": guestinfo.%s%s: %s", name, suffix, failure.text);
    return answer;
}

/* Bytes in an encoding, to be freed. */
static char *vmware_decode(const char *bytes, size_t length, const char *encoding, size_t *size,
                           struct failure *failure)
{
    bool gzip;
    if (encoding_named(encoding, &gzip))
        return encoding_decode(bytes, length, gzip, size, failure);
    failed(failure, "the encoding '%.32s' is not supported", encoding);
    return NULL;
}

/* What says that there is nothing: vSphere keeps no empty values, so that people write these. */
static bool vmware_is_empty(const char *bytes, size_t length)
{
    while (length > 0 && memchr(" \t\r\n", bytes[length - 1], 4))
        length--;
    return length == 0 || (length == 3 && memcmp(bytes, "---", 3) == 0);
}

/* A value of guestinfo, decoded; NULL if there is none. */
static char *vmware_get(const struct guest_rpc *rpc, const char *name, size_t *length)
{
    struct failure failure;
    size_t encoding_length;
    char *bytes = vmware_ask(rpc, name, "", length);
    if (!bytes || vmware_is_empty(bytes, *length)) {
        free(bytes);
        return NULL;
    }
    char *encoding = vmware_ask(rpc, name, ".encoding", &encoding_length);
    if (encoding && !vmware_is_empty(encoding, encoding_length)) {
        encoding[strcspn(encoding, " \r\n")] = '\0';
        char *decoded = vmware_decode(bytes, *length, encoding, length, &failure);
        if (!decoded)
            report(NAME ": guestinfo.%s: %s", name, failure.text);
        free(bytes);
        bytes = decoded;
    }
    free(encoding);
    return bytes;
}

/* A mapping, or a document of its own in an encoding. */
static void vmware_apply_network(struct result *result, const struct json *root)
{
    struct failure failure;
    char encoding[32];
    size_t size;
    const struct json *network = json_member(root, "network");
    if (!network || network->type == JSON_NULL)
        return;
    if (network->type != JSON_STRING) {
        network_config_apply_tree(result, network);
        return;
    }
    if (json_value_text(root, "network.encoding", encoding, sizeof encoding) < 0)
        snprintf(encoding, sizeof encoding, "base64");
    char *bytes = vmware_decode(network->text, network->length, encoding, &size, &failure);
    if (bytes)
        network_config_apply(result, "network-config", bytes, size);
    else
        report(NAME ": network: %s", failure.text);
    free(bytes);
}

static void vmware_apply_root(struct result *result, const struct json *root)
{
    const struct json *value = json_string(root, "public-keys-data");
    meta_data_apply(result, root);
    if (value)
        result_keys(result, value->text, value->length);
    vmware_apply_network(result, root);
}

static void vmware_apply_metadata(struct result *result, const char *bytes, size_t length)
{
    struct failure failure;
    char *copy;
    result_value(result, "metadata", bytes, length);
    struct json *root = yaml_parse_copy(bytes, length, &copy, &failure);
    if (root)
        vmware_apply_root(result, root);
    else
        report(NAME ": guestinfo.metadata: %s", failure.text);
    yaml_free(root);
    free(copy);
}

static void vmware_extract(struct result *result, struct vmware_values *values)
{
    if (values->bytes[OVF_ENVIRONMENT])
        ovf_env_apply(result, values->bytes[OVF_ENVIRONMENT], values->lengths[OVF_ENVIRONMENT]);
    if (values->bytes[METADATA])
        vmware_apply_metadata(result, values->bytes[METADATA], values->lengths[METADATA]);
    if (values->bytes[VENDOR_DATA])
        result_value(result, "vendordata", values->bytes[VENDOR_DATA],
                     values->lengths[VENDOR_DATA]);
    if (values->bytes[USER_DATA]) {
        result_user_data(result, values->bytes[USER_DATA], values->lengths[USER_DATA]);
        values->bytes[USER_DATA] = NULL;
    }
}

bool vmware_find(const struct search *search, struct result *result)
{
    struct failure failure;
    struct guest_rpc rpc;
    struct vmware_values values = {0};
    bool any = false;
    (void)search;
    if (!backdoor_is_there()) {
        report_detail(NAME ": not a machine of VMware");
        return false;
    }
    if (guest_rpc_open(&rpc, &failure) < 0) {
        report(NAME ": %s", failure.text);
        return false;
    }
    for (int i = METADATA; i <= OVF_ENVIRONMENT; i++) {
        values.bytes[i] = vmware_get(&rpc, vmware_names[i], &values.lengths[i]);
        any = any || values.bytes[i];
    }
    guest_rpc_close(&rpc);
    bool found = any && result_begin(result, NAME) == 0;
    if (found)
        vmware_extract(result, &values);
    for (int i = METADATA; i <= OVF_ENVIRONMENT; i++)
        free(values.bytes[i]);
    return found;
}
