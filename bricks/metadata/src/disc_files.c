/* disc_files.c: see disc_files.h. */
#include "disc_files.h"

#include "json/json.h"
#include "report.h"
#include "small_file.h"

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

/* The scalar of a line "key: value" at the outermost level, without quotation marks. */
static const char *disc_files_scalar(const char *text, const char *key, size_t *length)
{
    size_t key_length = strlen(key);
    while (*text) {
        size_t line = strcspn(text, "\r\n");
        if (line > key_length && text[key_length] == ':' && memcmp(text, key, key_length) == 0) {
            const char *value = text + key_length + 1;
            const char *end = text + line;
            while (value < end && (*value == ' ' || *value == '\t'))
                value++;
            while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
                end--;
            if (end - value >= 2 && (*value == '"' || *value == '\'') && end[-1] == *value) {
                value++;
                end--;
            }
            *length = (size_t)(end - value);
            return value;
        }
        text += line;
        text += strspn(text, "\r\n");
    }
    return NULL;
}

static void disc_files_no_cloud(struct result *result, const char *text)
{
    size_t length;
    const char *value = disc_files_scalar(text, "local-hostname", &length);
    if (!value)
        value = disc_files_scalar(text, "hostname", &length);
    if (value)
        result_hostname(result, value, length);
    if ((value = disc_files_scalar(text, "instance-id", &length)))
        result_value(result, "instance_id", value, length);
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
    size_t user_length = 0, cloud_length = 0, stack_length = 0;
    char *user = NULL;
    for (size_t i = 0; !user && i < sizeof names / sizeof *names; i++)
        user = disc_files_one(folder, names[i], MAX_USER_DATA, &user_length);
    char *cloud = disc_files_one(folder, "meta-data", MAX_VALUE, &cloud_length);
    char *stack = disc_files_one(folder, OPENSTACK "meta_data.json", MAX_KEYS, &stack_length);
    bool found = (user || cloud || stack) && result_begin(result, provider) == 0;
    if (found && cloud)
        disc_files_no_cloud(result, cloud);
    if (found && stack)
        disc_files_openstack(result, stack, stack_length);
    result_user_data(result, user, found ? user_length : 0);
    free(cloud);
    free(stack);
    return found;
}
