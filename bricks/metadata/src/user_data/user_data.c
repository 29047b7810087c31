/* user_data.c: see user_data.h. */
#include "user_data/user_data.h"

#include "config.h"
#include "report.h"
#include "user_data/base64.h"
#include "user_data/cloud_config.h"
#include "user_data/gzip.h"
#include "user_data/mime.h"
#include "user_data/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* MAX_MESSAGES: messages within messages. */
enum { MAX_PARTS = 64, MAX_MESSAGES = 4 };

struct user_data_parts {
    struct result *result;
    int count;
};

static void user_data_apply_message(struct user_data_parts *parts, const char *bytes, size_t length,
                                    int depth);

/* Whether the first word is `word`. */
static bool user_data_begins(const char *bytes, size_t length, const char *word)
{
    size_t size = strlen(word);
    return length >= size && memcmp(bytes, word, size) == 0 &&
           (length == size || memchr(" \t\r\n", bytes[size], 4));
}

void user_data_open(struct user_data *data, const struct result *result)
{
    struct failure failure;
    size_t size;
    *data = (struct user_data){.bytes = result->user_data ? result->user_data : "",
                               .length = result->user_data_length};
    if (!gzip_is(data->bytes, data->length))
        return;
    data->decompressed = gzip_decompress(data->bytes, data->length, MAX_USER_DATA, &size, &failure);
    if (data->decompressed) {
        data->bytes = data->decompressed;
        data->length = size;
    } else {
        report("user data: %s; it is saved, and not carried out", failure.text);
    }
}

void user_data_close(struct user_data *data)
{
    free(data->decompressed);
}

/* Kinds that cloud-init knows, and that would fetch or run something. */
static bool user_data_refuse(const char *bytes, size_t length)
{
    static const char *const kinds[] = {
        "#cloud-config-archive", "#cloud-config-jsonp", "#cloud-boothook",
        "#part-handler",         "## template: jinja",
    };
    if (user_data_begins(bytes, length, "#include") ||
        user_data_begins(bytes, length, "#include-once")) {
        report("user data: #include is refused: nothing is fetched from where user data says");
        return true;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (user_data_begins(bytes, length, kinds[i])) {
            report("user data: %s is not supported; it is saved, and not carried out", kinds[i]);
            return true;
        }
    return false;
}

/* Whether it was of a kind that is known by its first bytes. */
static bool user_data_apply_bytes(struct user_data_parts *parts, const char *bytes, size_t length,
                                  int depth)
{
    if (user_data_begins(bytes, length, "#cloud-config"))
        cloud_config_apply(parts->result, bytes, length);
    else if (mime_is_message(bytes, length))
        user_data_apply_message(parts, bytes, length, depth);
    else
        return user_data_refuse(bytes, length);
    return true;
}

/* What is not for us, for containers: /run/config/parts/001. */
static void user_data_save(struct user_data_parts *parts, const struct mime_part *part,
                           const char *bytes, size_t length)
{
    struct failure failure;
    char name[16];
    snprintf(name, sizeof name, "%03d", parts->count);
    int folder = config_directory(parts->result->folder, "parts", &failure);
    int done = folder < 0 ? -1 : config_write(folder, name, bytes, length, 0600, &failure);
    if (folder >= 0)
        done |= config_close(folder, 0755, done < 0 ? &(struct failure){0} : &failure);
    if (done < 0)
        report("user data: part %d: %s", parts->count, failure.text);
    else
        report("user data: part %d, %s, is saved as parts/%s, and not carried out", parts->count,
               part->type, name);
}

static void user_data_apply_decoded(struct user_data_parts *parts, const struct mime_part *part,
                                    const char *bytes, size_t length, int depth)
{
    struct failure failure;
    size_t size;
    if (gzip_is(bytes, length)) {
        char *plain = gzip_decompress(bytes, length, MAX_USER_DATA, &size, &failure);
        if (!plain)
            report("user data: part %d: %s", parts->count, failure.text);
        else if (!user_data_apply_bytes(parts, plain, size, depth))
            user_data_save(parts, part, plain, size);
        free(plain);
    } else if (strcmp(part->type, "text/cloud-config") == 0) {
        cloud_config_apply(parts->result, bytes, length);
    } else if (strcmp(part->type, "text/x-include-url") == 0 ||
               strcmp(part->type, "text/x-include-once-url") == 0) {
        user_data_refuse("#include", 8);
    } else if (strcmp(part->type, "text/plain") != 0 ||
               !user_data_apply_bytes(parts, bytes, length, depth)) {
        user_data_save(parts, part, bytes, length);
    }
}

static void user_data_apply_part(struct user_data_parts *parts, const struct mime_part *part,
                                 int depth)
{
    size_t size;
    parts->count++;
    if (!part->base64) {
        user_data_apply_decoded(parts, part, part->body, part->length, depth);
        return;
    }
    char *decoded = base64_decode(part->body, part->length, &size);
    if (decoded)
        user_data_apply_decoded(parts, part, decoded, size, depth);
    else
        report("user data: part %d is no base64", parts->count);
    free(decoded);
}

static void user_data_apply_message(struct user_data_parts *parts, const char *bytes, size_t length,
                                    int depth)
{
    struct failure failure;
    struct mime_part whole;
    size_t at = 0;
    if (mime_read(bytes, length, &whole, &failure) < 0 || depth == MAX_MESSAGES) {
        report("user data: MIME: %s", depth == MAX_MESSAGES ? "too many levels" : failure.text);
        return;
    }
    if (strncmp(whole.type, "multipart/", 10) != 0) {
        user_data_apply_part(parts, &whole, depth + 1);
        return;
    }
    if (!whole.boundary[0]) {
        report("user data: MIME: parts without a boundary");
        return;
    }
    while (mime_next(&whole, &at, &bytes, &length) > 0) {
        struct mime_part part;
        if (parts->count >= MAX_PARTS) {
            report("user data: MIME: more than %d parts", MAX_PARTS);
            return;
        }
        if (mime_read(bytes, length, &part, &failure) < 0)
            report("user data: part %d: %s", ++parts->count, failure.text);
        else if (strncmp(part.type, "multipart/", 10) == 0)
            user_data_apply_message(parts, bytes, length, depth + 1);
        else
            user_data_apply_part(parts, &part, depth + 1);
    }
}

void user_data_apply(const struct user_data *data, struct result *result)
{
    struct user_data_parts parts = {.result = result};
    user_data_apply_bytes(&parts, data->bytes, data->length, 0);
}

void user_data_write_tree(const struct user_data *data, const struct result *result)
{
    /* What options make is bound and run: it has passed their checks. */
    const char *reserved[4] = {NULL};
    size_t count = 0;
    if (result->allowed.users)
        reserved[count++] = "users";
    if (result->allowed.commands) {
        reserved[count++] = "bootcmd";
        reserved[count++] = "runcmd";
    }
    tree_write(result->folder, reserved, data->bytes, data->length);
}
