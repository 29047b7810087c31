/* azure.c: see azure.h. */
#include "azure.h"

#include "azure_report.h"
#include "connection.h"
#include "disc.h"
#include "http.h"
#include "json/json.h"
#include "ovf/ovf_env.h"
#include "report.h"
#include "user_data/base64.h"

#include <stdlib.h>

#define NAME "Azure"
#define ADDRESS "169.254.169.254"

/* User data, of up to 64 KiB, is a part of the document, in base64. */
enum { TIMEOUT = 2000, MAX_DOCUMENT = 1 << 20 };

struct azure_value {
    const char *file;
    const char *path;
};

static const struct azure_value azure_values[] = {
    {"instance_id", "compute.vmId"},
    {"instance_type", "compute.vmSize"},
    {"location", "compute.location"},
};

static const struct json *azure_first(const struct json *object, const char *name)
{
    const struct json *array = json_member(object, name);
    return array && array->type == JSON_ARRAY ? array->first : NULL;
}

static void azure_add_addresses(struct result *result, const struct json *root)
{
    const struct json *interface = azure_first(json_member(root, "network"), "interface");
    const struct json *address = azure_first(json_member(interface, "ipv4"), "ipAddress");
    const struct json *value;
    if ((value = json_string(address, "privateIpAddress")))
        result_value(result, "local_ipv4", value->text, value->length);
    if ((value = json_string(address, "publicIpAddress")) && value->length > 0)
        result_value(result, "public_ipv4", value->text, value->length);
}

static void azure_add_user_data(struct result *result, const struct json *root)
{
    size_t size;
    const struct json *value = json_string(root, "compute.userData");
    if (!value || value->length == 0)
        return;
    char *bytes = base64_decode(value->text, value->length, &size);
    if (bytes)
        result_user_data(result, bytes, size);
    else
        report(NAME ": user data is no base64");
}

/* On a CD. As with cloud-init, it takes the place of user data. */
static void azure_add_custom_data(struct result *result)
{
    size_t length;
    char *environment = disc_read_file("ovf-env.xml", MAX_OVF_ENV, &length);
    if (!environment)
        return;
    char *user_data = result->user_data;
    size_t user_length = result->user_data_length;
    result->user_data = NULL;
    ovf_env_apply(result, environment, length);
    if (!result->user_data) {
        result_user_data(result, user_data, user_length);
    } else if (user_data) {
        report(NAME ": there are custom data and user data; custom data is used");
        free(user_data);
    }
    free(environment);
}

static void azure_extract(struct result *result, const struct json *root)
{
    struct failure failure;
    const struct json *value = json_string(root, "compute.osProfile.computerName");
    if (!value)
        value = json_string(root, "compute.name");
    if (value)
        result_hostname(result, value->text, value->length);
    for (size_t i = 0; i < sizeof azure_values / sizeof *azure_values; i++)
        if ((value = json_string(root, azure_values[i].path)))
            result_value(result, azure_values[i].file, value->text, value->length);
    azure_add_addresses(result, root);
    const struct json *key = azure_first(json_member(root, "compute"), "publicKeys");
    for (; key; key = key->next)
        if ((value = json_string(key, "keyData")))
            result_keys(result, value->text, value->length);
    azure_add_user_data(result, root);
    azure_add_custom_data(result);
    if (azure_report_ready(&failure) < 0)
        report(NAME ": reporting that the machine is ready: %s", failure.text);
}

/* The document, if this is Azure. */
static struct json *azure_parse(struct http_response *response)
{
    struct failure failure;
    if (response->status != 200)
        return NULL;
    struct json *root = json_parse(response->body, response->length, &failure);
    if (!root)
        report(NAME ": %s", failure.text);
    if (root && json_string(root, "compute.vmId"))
        return root;
    json_free(root);
    return NULL;
}

bool azure_find(const struct search *search, struct result *result)
{
    struct failure failure;
    struct http_response response;
    const struct http_request request = {.address = ADDRESS,
                                         .path = "/metadata/instance?api-version=2021-12-13",
                                         .headers = "Metadata: true\r\n",
                                         .limit = MAX_DOCUMENT,
                                         .timeout = TIMEOUT};
    (void)search;
    if (http_send(&request, &response, &failure) < 0) {
        if (response.reached) {
            report(NAME ": %s", failure.text);
            connection_avoid(ADDRESS);
        } else {
            report_detail(NAME ": %s", failure.text);
        }
        return false;
    }
    struct json *root = azure_parse(&response);
    bool found = root && result_begin(result, NAME) == 0;
    if (found)
        azure_extract(result, root);
    json_free(root);
    http_forget(&response);
    return found;
}
