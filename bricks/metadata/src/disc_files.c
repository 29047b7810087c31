/* disc_files.c: see disc_files.h. */
#include "disc_files.h"

#include "json/json.h"
#include "meta_data.h"
#include "network/network_config.h"
#include "ovf/ovf_env.h"
#include "report.h"
#include "small_file.h"
#include "yaml/yaml.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define OPENSTACK "openstack/latest/"

/* NULL if it is not there, or empty; what is there and cannot be used is reported. */
static char *disc_files_one(int folder, const char *path, size_t limit, size_t *length)
{
    struct failure failure;
    char *bytes = small_file_read(folder, path, limit, length, &failure);
    if (!bytes && errno != ENOENT && errno != ENOTDIR)
        report("%s", failure.text);
    if (bytes && *length == 0) {
        free(bytes);
        return NULL;
    }
    return bytes;
}

/* NoCloud's, or OpenStack's. */
static void disc_files_network(int folder, struct result *result)
{
    static const char *const paths[] = {"network-config", OPENSTACK "network_data.json"};
    static const char *const names[] = {"network-config", "network_data.json"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        size_t length;
        char *bytes = disc_files_one(folder, paths[i], MAX_KEYS, &length);
        if (bytes)
            network_config_apply(result, names[i], bytes, length);
        free(bytes);
        if (bytes)
            return;
    }
}

/* "public-keys": lines, or what has such in it: a sequence, or a mapping of names to them. */
static void disc_files_keys(struct result *result, const struct json *keys)
{
    if (keys && keys->type == JSON_STRING)
        result_keys(result, keys->text, keys->length);
    else if (keys && (keys->type == JSON_ARRAY || keys->type == JSON_OBJECT))
        for (const struct json *key = keys->first; key; key = key->next)
            disc_files_keys(result, key);
}

static void disc_files_no_cloud(struct result *result, const char *bytes, size_t length)
{
    struct failure failure;
    char *copy;
    struct json *root = yaml_parse_copy(bytes, length, &copy, &failure);
    if (!root)
        report("meta-data: %s", failure.text);
    meta_data_apply(result, root);
    disc_files_keys(result, json_member(root, "public-keys"));
    yaml_free(root);
    free(copy);
}

static void disc_files_openstack(struct result *result, char *text, size_t length)
{
    struct failure failure;
    struct json *root = json_parse(text, length, &failure);
    const struct json *keys = json_member(root, "public_keys");
    const struct json *value;
    if (!root)
        report(OPENSTACK "meta_data.json: %s", failure.text);
    if ((value = json_string(root, "hostname")))
        result_hostname(result, value->text, value->length);
    if ((value = json_string(root, "uuid")))
        result_value(result, "instance_id", value->text, value->length);
    if ((value = json_string(root, "availability_zone")))
        result_value(result, "availability_zone", value->text, value->length);
    for (const struct json *key = keys ? keys->first : NULL; key; key = key->next)
        if (key->type == JSON_STRING)
            result_keys(result, key->text, key->length);
    json_free(root);
}

bool disc_files_read(int folder, const char *provider, struct result *result)
{
    static const char *const names[] = {"user-data", "config", OPENSTACK "user_data"};
    size_t user_length = 0, cloud_length = 0, stack_length = 0, ovf_length = 0;
    char *user = NULL;
    for (size_t i = 0; !user && i < sizeof names / sizeof *names; i++)
        user = disc_files_one(folder, names[i], MAX_USER_DATA, &user_length);
    char *cloud = disc_files_one(folder, "meta-data", MAX_VALUE, &cloud_length);
    char *stack = disc_files_one(folder, OPENSTACK "meta_data.json", MAX_KEYS, &stack_length);
    char *ovf = disc_files_one(folder, "ovf-env.xml", MAX_OVF_ENV, &ovf_length);
    bool found = (user || cloud || stack || ovf) && result_begin(result, provider) == 0;
    if (found && ovf)
        ovf_env_apply(result, ovf, ovf_length);
    if (found && cloud)
        disc_files_no_cloud(result, cloud, cloud_length);
    if (found && stack)
        disc_files_openstack(result, stack, stack_length);
    if (found)
        disc_files_network(folder, result);
    if (user)
        result_user_data(result, user, found ? user_length : 0);
    free(ovf);
    free(cloud);
    free(stack);
    return found;
}
