/* tree.c: see tree.h. */
#include "user_data/tree.h"

#include "config.h"
#include "json/json.h"
#include "report.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* "perm": octal digits. Bits beyond 0777 have no use here. */
static int tree_mode(const struct json *entry, mode_t usual, mode_t *mode)
{
    const struct json *given = json_member(entry, "perm");
    *mode = usual;
    if (!given || given->type == JSON_NULL)
        return 0;
    if (given->type != JSON_STRING || given->length == 0 || given->length > 5 ||
        strspn(given->text, "01234567") != given->length)
        return -1;
    unsigned long value = strtoul(given->text, NULL, 8);
    *mode = (mode_t)value;
    return value <= 0777 ? 0 : -1;
}

static void tree_write_entries(int folder, const char *const *reserved, const struct json *entries);

static int tree_write_directory(int folder, const struct json *entry, const struct json *entries,
                                struct failure *failure)
{
    mode_t mode;
    if (entries->type != JSON_OBJECT || tree_mode(entry, 0755, &mode) < 0)
        return failed(failure, "the directory '%.64s' is invalid", entry->key);
    int made = config_directory(folder, entry->key, failure);
    if (made < 0)
        return -1;
    tree_write_entries(made, &(const char *const){NULL}, entries);
    return config_close(made, mode, failure);
}

static int tree_write_file(int folder, const struct json *entry, const struct json *content,
                           struct failure *failure)
{
    mode_t mode;
    if (content->type != JSON_STRING || tree_mode(entry, 0644, &mode) < 0)
        return failed(failure, "the file '%.64s' is invalid", entry->key);
    return config_write(folder, entry->key, content->text, content->length, mode, failure);
}

static int tree_write_entry(int folder, const struct json *entry, struct failure *failure)
{
    const struct json *content = json_member(entry, "content");
    const struct json *entries = json_member(entry, "entries");
    if (strlen(entry->key) != entry->key_length)
        return failed(failure, "a zero byte in the name '%.64s'", entry->key);
    if (!content == !entries)
        return failed(failure, "'%.64s' is invalid: it needs either content or entries",
                      entry->key);
    return entries ? tree_write_directory(folder, entry, entries, failure)
                   : tree_write_file(folder, entry, content, failure);
}

static bool tree_is_reserved(const char *const *reserved, const char *name)
{
    for (; *reserved; reserved++)
        if (strcmp(*reserved, name) == 0)
            return true;
    return false;
}

/* JSON's levels bound the recursion. */
static void tree_write_entries(int folder, const char *const *reserved, const struct json *entries)
{
    struct failure failure;
    for (const struct json *entry = entries->first; entry; entry = entry->next)
        if (tree_is_reserved(reserved, entry->key))
            report("user data: '%s' is left out: an option of this program makes it", entry->key);
        else if (tree_write_entry(folder, entry, &failure) < 0)
            report("user data: %s", failure.text);
}

void tree_write(int folder, const char *const *reserved, const char *data, size_t length)
{
    struct failure failure;
    size_t space = 0;
    while (space < length && memchr(" \t\r\n", data[space], 4))
        space++;
    if (space == length || data[space] != '{')
        return;
    char *copy = malloc(length);
    struct json *root = NULL;
    if (!copy)
        failed_errno(&failure, "JSON");
    else
        root = json_parse(memcpy(copy, data, length), length, &failure);
    if (root)
        tree_write_entries(folder, reserved, root);
    else
        report("user data: no valid JSON, and so no files of it: %s", failure.text);
    json_free(root);
    free(copy);
}
