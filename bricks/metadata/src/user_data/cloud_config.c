/* cloud_config.c: see cloud_config.h. */
#include "user_data/cloud_config.h"

#include "json/json_value.h"
#include "report.h"
#include "user_data/commands.h"
#include "user_data/users.h"
#include "user_data/write_files.h"
#include "yaml/yaml.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER "#cloud-config"

void cloud_config_keys(const struct json *holder, struct text *keys)
{
    const struct json *key = json_value_entries(holder, "ssh_authorized_keys");
    if (!key)
        key = json_value_entries(holder, "ssh-authorized-keys");
    for (; key; key = key->next)
        if (key->type == JSON_STRING)
            result_add_key(keys, key->text, key->length);
}

void cloud_config_add_keys(struct result *result, const struct json *holder)
{
    cloud_config_keys(holder, &result->keys);
}

/* What is asked for on the command line before a key is carried out. */
enum cloud_config_need { NEED_NOTHING, NEED_USERS, NEED_COMMANDS };

struct cloud_config_key {
    const char *name;
    enum cloud_config_need need;
};

/* Of users, the SSH keys alone are taken where users are not allowed. */
static const struct cloud_config_key cloud_config_known[] = {
    {"hostname", NEED_NOTHING},
    {"fqdn", NEED_NOTHING},
    {"prefer_fqdn_over_hostname", NEED_NOTHING},
    {"preserve_hostname", NEED_NOTHING},
    {"ssh_authorized_keys", NEED_NOTHING},
    {"ssh-authorized-keys", NEED_NOTHING},
    {"write_files", NEED_NOTHING},
    {"users", NEED_USERS},
    {"groups", NEED_USERS},
    {"chpasswd", NEED_USERS},
    {"bootcmd", NEED_COMMANDS},
    {"runcmd", NEED_COMMANDS},
};

/* NULL if a key is carried out; otherwise what would do it, or "". */
static const char *cloud_config_missing(const struct allowed *allowed, const char *name)
{
    for (size_t i = 0; i < sizeof cloud_config_known / sizeof *cloud_config_known; i++) {
        if (strcmp(cloud_config_known[i].name, name) != 0)
            continue;
        if (cloud_config_known[i].need == NEED_USERS && !allowed->users)
            return " (--users)";
        if (cloud_config_known[i].need == NEED_COMMANDS && !allowed->commands)
            return " (--commands)";
        return NULL;
    }
    return "";
}

/* Everything that is not carried out, by its names, and what would do it. */
static void cloud_config_report_others(const struct result *result, const struct json *root)
{
    char names[512] = "";
    for (const struct json *member = root->first; member; member = member->next) {
        const char *missing = cloud_config_missing(&result->allowed, member->key);
        size_t length = strlen(names);
        if (missing)
            snprintf(names + length, sizeof names - length, "%s%s%s", length ? ", " : "",
                     member->key, missing);
    }
    if (*names)
        report(HEADER ": not carried out: %s", names);
}

/* As cloud-init has it: a name without its domain, unless the document prefers the whole one. */
static void cloud_config_set_hostname(struct result *result, const struct json *root)
{
    const struct json *hostname = json_string(root, "hostname");
    const struct json *fqdn = json_string(root, "fqdn");
    if (json_value_flag(root, "preserve_hostname", false))
        return;
    if (fqdn)
        result_value(result, "fqdn", fqdn->text, fqdn->length);
    if (fqdn && json_value_flag(root, "prefer_fqdn_over_hostname", false))
        result_hostname(result, fqdn->text, fqdn->length);
    else if (hostname)
        result_hostname(result, hostname->text, hostname->length);
    else if (fqdn)
        result_hostname(result, fqdn->text, strcspn(fqdn->text, "."));
}

static void cloud_config_apply_root(struct result *result, const struct json *root)
{
    cloud_config_set_hostname(result, root);
    cloud_config_add_keys(result, root);
    if (result->allowed.users) {
        users_apply(result, root);
    } else {
        const struct json *user = json_value_entries(root, "users");
        for (; user; user = user->next)
            cloud_config_add_keys(result, user);
    }
    write_files_apply(result, json_value_entries(root, "write_files"));
    if (result->allowed.commands) {
        commands_write(result, root, "bootcmd");
        commands_write(result, root, "runcmd");
    }
    cloud_config_report_others(result, root);
}

void cloud_config_apply(struct result *result, const char *bytes, size_t length)
{
    struct failure failure;
    char *copy;
    struct json *root = yaml_parse_copy(bytes, length, &copy, &failure);
    if (root)
        cloud_config_apply_root(result, root);
    else
        report(HEADER ": %s; it is saved, and not carried out", failure.text);
    yaml_free(root);
    free(copy);
}
