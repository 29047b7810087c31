/* passwords.c: see passwords.h. */
#include "user_data/passwords.h"

#include "json/json_value.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

#define HEADER "#cloud-config: chpasswd"

enum { MAX_HASH = 256 };

static void passwords_set(struct result *result, const char *name, const char *hash)
{
    if (!accounts_is_name(name))
        report(HEADER ": a name that is no user's");
    else if (!accounts_may_change(&result->accounts, name))
        report(HEADER ": %s: no user that may be changed", name);
    else if (!accounts_is_hash(hash))
        report(HEADER ": %s: its password is no hash of crypt(5)", name);
    else
        accounts_set_hash(&result->accounts, name, hash);
}

/* "NAME:HASH", of `length` bytes. */
static void passwords_line(struct result *result, const char *line, size_t length)
{
    char text[MAX_NAME + MAX_HASH];
    if (length == 0)
        return;
    snprintf(text, sizeof text, "%.*s", (int)(length < sizeof text ? length : 0), line);
    char *hash = strchr(text, ':');
    if (hash)
        *hash++ = '\0';
    passwords_set(result, text, hash ? hash : "");
}

/* One string with a line for each user. */
static void passwords_lines(struct result *result, const char *lines, size_t length)
{
    const char *end = lines + length;
    for (const char *line = lines; line < end;) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t size = (size_t)((stop ? stop : end) - line);
        passwords_line(result, line, size);
        line += size + 1;
    }
}

/* "list": as cloud-init had it before "users": a sequence, or a block of lines. */
static void passwords_list(struct result *result, const struct json *list)
{
    if (list && list->type == JSON_STRING)
        passwords_lines(result, list->text, list->length);
    const struct json *line = list && list->type == JSON_ARRAY ? list->first : NULL;
    for (; line; line = line->next)
        if (line->type == JSON_STRING)
            passwords_line(result, line->text, line->length);
}

void passwords_apply(struct result *result, const struct json *chpasswd)
{
    char name[MAX_NAME], hash[MAX_HASH], type[16];
    passwords_list(result, json_member(chpasswd, "list"));
    const struct json *user = json_value_entries(chpasswd, "users");
    for (; user; user = user->next) {
        json_value_text(user, "name", name, sizeof name);
        json_value_text(user, "password", hash, sizeof hash);
        bool hashed =
            !json_member(user, "type") ||
            (json_value_text(user, "type", type, sizeof type) == 0 && strcmp(type, "hash") == 0);
        passwords_set(result, name, hashed ? hash : "");
    }
    if (json_value_flag(chpasswd, "expire", false))
        report(HEADER ": not carried out: expire: a new password would have no place");
}
