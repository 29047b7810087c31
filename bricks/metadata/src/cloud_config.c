/* cloud_config.c: see cloud_config.h. */
#include "cloud_config.h"

#include "base64.h"
#include "config.h"
#include "report.h"
#include "yaml.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEADER "#cloud-config"

enum { MAX_COMPONENTS = 32 };

static void cloud_config_add_keys(struct result *result, const struct json *holder)
{
    const struct json *keys = json_member(holder, "ssh_authorized_keys");
    if (!keys)
        keys = json_member(holder, "ssh-authorized-keys");
    for (const struct json *key = keys ? keys->first : NULL; key; key = key->next)
        if (key->type == JSON_STRING)
            result_key(result, key->text, key->length);
}

static int cloud_config_mode(const struct json *file, mode_t *mode)
{
    const struct json *given = json_string(file, "permissions");
    *mode = 0644;
    if (!given)
        return 0;
    if (given->length == 0 || given->length > 5 || strspn(given->text, "01234567") != given->length)
        return -1;
    unsigned long value = strtoul(given->text, NULL, 8);
    *mode = (mode_t)value;
    return value <= 0777 ? 0 : -1;
}

/* Below `folder`, which it closes: the directories of `path`, and the file. */
static int cloud_config_write_at(int folder, char *path, const char *bytes, size_t size,
                                 mode_t mode, struct failure *failure)
{
    for (int i = 0; i < MAX_COMPONENTS; i++) {
        path += strspn(path, "/");
        char *slash = strchr(path, '/');
        if (!slash) {
            int done = config_write(folder, path, bytes, size, mode, failure);
            return config_close(folder, 0755, done < 0 ? &(struct failure){0} : failure) | done;
        }
        *slash = '\0';
        int next = config_directory(folder, path, failure);
        config_close(folder, 0755, &(struct failure){0});
        if (next < 0)
            return -1;
        folder = next;
        path = slash + 1;
    }
    close(folder);
    return failed(failure, "the path is too long");
}

static int cloud_config_write_bytes(struct result *result, const struct json *path,
                                    const char *bytes, size_t size, mode_t mode,
                                    struct failure *failure)
{
    char copy[1024];
    if (path->text[0] != '/' ||
        (size_t)snprintf(copy, sizeof copy, "%s", path->text) >= sizeof copy)
        return failed(failure, "%.64s: no absolute path, or too long", path->text);
    int folder = config_directory(result->folder, "files", failure);
    return folder < 0 ? -1 : cloud_config_write_at(folder, copy, bytes, size, mode, failure);
}

static int cloud_config_write_file(struct result *result, const struct json *file,
                                   struct failure *failure)
{
    const struct json *path = json_string(file, "path");
    const struct json *content = json_string(file, "content");
    const struct json *encoding = json_string(file, "encoding");
    mode_t mode;
    if (!path || cloud_config_mode(file, &mode) < 0)
        return failed(failure, "a file without a path, or with permissions that are none");
    const char *bytes = content ? content->text : "";
    size_t size = content ? content->length : 0;
    if (!encoding || strcmp(encoding->text, "text/plain") == 0)
        return cloud_config_write_bytes(result, path, bytes, size, mode, failure);
    if (strcmp(encoding->text, "b64") != 0 && strcmp(encoding->text, "base64") != 0)
        return failed(failure, "%.64s: an encoding that is not supported", path->text);
    char *decoded = base64_decode(bytes, size, &size);
    if (!decoded)
        return failed(failure, "%.64s: no base64", path->text);
    int done = cloud_config_write_bytes(result, path, decoded, size, mode, failure);
    free(decoded);
    return done;
}

static void cloud_config_write_files(struct result *result, const struct json *files)
{
    struct failure failure;
    for (const struct json *file = files ? files->first : NULL; file; file = file->next)
        if (cloud_config_write_file(result, file, &failure) < 0)
            report(HEADER ": write_files: %s", failure.text);
}

/* Everything that the program does not know, by its names. */
static void cloud_config_report_others(const struct json *root)
{
    static const char *const known[] = {"hostname", "ssh_authorized_keys", "ssh-authorized-keys",
                                        "users", "write_files"};
    char names[512] = "";
    for (const struct json *member = root->first; member; member = member->next) {
        bool carried_out = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            carried_out |= strcmp(member->key, known[i]) == 0;
        size_t length = strlen(names);
        if (!carried_out)
            snprintf(names + length, sizeof names - length, "%s%s", length ? ", " : "",
                     member->key);
    }
    if (*names)
        report(HEADER ": not carried out: %s", names);
}

static void cloud_config_apply_root(struct result *result, const struct json *root)
{
    const struct json *hostname = json_string(root, "hostname");
    const struct json *users = json_member(root, "users");
    if (hostname)
        result_hostname(result, hostname->text, hostname->length);
    cloud_config_add_keys(result, root);
    for (const struct json *user = users ? users->first : NULL; user; user = user->next)
        cloud_config_add_keys(result, user);
    cloud_config_write_files(result, json_member(root, "write_files"));
    cloud_config_report_others(root);
}

void cloud_config_apply(struct result *result)
{
    struct failure failure;
    const size_t header = strlen(HEADER);
    if (!result->user_data || result->user_data_length < header ||
        memcmp(result->user_data, HEADER, header) != 0)
        return;
    char *copy = malloc(result->user_data_length + 1);
    struct json *root = NULL;
    if (!copy) {
        failed_errno(&failure, "no memory");
    } else {
        memcpy(copy, result->user_data, result->user_data_length);
        copy[result->user_data_length] = '\0';
        root = yaml_parse(copy, result->user_data_length, &failure);
    }
    if (root)
        cloud_config_apply_root(result, root);
    else
        report(HEADER ": %s; it is saved, and not carried out", failure.text);
    yaml_free(root);
    free(copy);
}
