/* accounts.c: see accounts.h. The files are those of passwd(5), group(5), shadow(5), sudoers(5). */
#include "user_data/accounts.h"

#include "config.h"
#include "small_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 65536 };

static int accounts_load_file(struct text *text, const char *path, const char *usual,
                              struct failure *failure)
{
    size_t length;
    char *bytes = small_file_read(AT_FDCWD, path, MAX_FILE, &length, failure);
    if (!bytes && errno != ENOENT)
        return -1;
    text_add(text, bytes ? bytes : usual, bytes ? length : strlen(usual));
    if (text->length > 0 && text->bytes[text->length - 1] != '\n')
        text_add(text, "\n", 1);
    free(bytes);
    return text->failed ? failed(failure, "%s: no memory", path) : 0;
}

int accounts_load(struct accounts *accounts, struct failure *failure)
{
    if (accounts_load_file(&accounts->passwd, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n",
                           failure) < 0 ||
        accounts_load_file(&accounts->group, "/etc/group", "root:x:0:\n", failure) < 0)
        return -1;
    accounts->given = accounts->passwd.length;
    text_format(&accounts->sudoers, "# Written by metadata.\n");
    return accounts_load_file(&accounts->shadow, "/etc/shadow", "root:*::0:::::\n", failure);
}

bool accounts_is_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length < MAX_NAME && strchr("abcdefghijklmnopqrstuvwxyz_", name[0]) &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

/* The line of `name`; NULL if there is none. */
static char *accounts_line(const struct text *text, const char *name)
{
    size_t length = strlen(name);
    char *line = text->bytes;
    while (line && *line) {
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            return line;
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return NULL;
}

/* The number in the third field of a line of passwd or group; -1 if it is none. */
static long accounts_id(const char *line)
{
    size_t length = strcspn(line, "\n");
    const char *field = memchr(line, ':', length);
    field = field ? memchr(field + 1, ':', length - (size_t)(field + 1 - line)) : NULL;
    if (!field || field[1] < '0' || field[1] > '9')
        return -1;
    return strtol(field + 1, NULL, 10);
}

static bool accounts_has_id(const struct text *text, long id)
{
    const char *line = text->bytes;
    while (line && *line) {
        if (accounts_id(line) == id)
            return true;
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return false;
}

/* `wanted`, or the first number that neither a user nor a group has. */
static long accounts_new_id(const struct accounts *accounts, const struct text *text, long wanted,
                            bool system, struct failure *failure)
{
    if (wanted >= 0)
        return accounts_has_id(text, wanted) ? failed(failure, "the id %ld is taken", wanted)
                                             : wanted;
    long id = system ? FIRST_SYSTEM_ID : FIRST_ID;
    while (id <= LAST_ID &&
           (accounts_has_id(&accounts->passwd, id) || accounts_has_id(&accounts->group, id)))
        id++;
    return id <= LAST_ID ? id : failed(failure, "no id is left");
}

bool accounts_has_user(const struct accounts *accounts, const char *name)
{
    return accounts_line(&accounts->passwd, name) != NULL;
}

long accounts_group(struct accounts *accounts, const char *name, long id, bool system,
                    struct failure *failure)
{
    const char *line = accounts_line(&accounts->group, name);
    if (line)
        return accounts_id(line);
    id = accounts_new_id(accounts, &accounts->group, id, system, failure);
    if (id < 0)
        return -1;
    text_format(&accounts->group, "%s:x:%ld:\n", name, id);
    return accounts->group.failed ? failed(failure, "too many groups") : id;
}

int accounts_join(struct accounts *accounts, const char *group, const char *user,
                  struct failure *failure)
{
    char member[MAX_NAME + 1];
    const char *line = accounts_line(&accounts->group, group);
    if (!line)
        return failed(failure, "no group %s", group);
    size_t length = strcspn(line, "\n");
    snprintf(member, sizeof member, "%s%s", line[length - 1] == ':' ? "" : ",", user);
    text_insert(&accounts->group, (size_t)(line - accounts->group.bytes) + length, member,
                strlen(member));
    return accounts->group.failed ? failed(failure, "too many members") : 0;
}

long accounts_add(struct accounts *accounts, const struct account *account, struct failure *failure)
{
    long id = accounts_new_id(accounts, &accounts->passwd, account->id, account->system, failure);
    if (id < 0)
        return -1;
    long group_id = accounts_has_id(&accounts->group, id) ? -1 : id;
    long group = accounts_group(accounts, account->group, group_id, account->system, failure);
    if (group < 0)
        return -1;
    text_format(&accounts->passwd, "%s:x:%ld:%ld:%s:/home/%s:%s\n", account->name, id, group,
                account->gecos, account->name, account->shell);
    text_format(&accounts->shadow, "%s:%s::0:99999:7:::\n", account->name, account->hash);
    return accounts->passwd.failed || accounts->shadow.failed ? failed(failure, "too many users")
                                                              : id;
}

bool accounts_may_change(const struct accounts *accounts, const char *name)
{
    const char *line = accounts_line(&accounts->passwd, name);
    return line && (strcmp(name, "root") == 0 ||
                    (size_t)(line - accounts->passwd.bytes) >= accounts->given);
}

bool accounts_is_hash(const char *hash)
{
    return hash[0] == '$' && strlen(hash) > 10 && !strpbrk(hash, ": !*\n\r\t");
}

int accounts_sudo(struct accounts *accounts, const char *user, const char *rule,
                  struct failure *failure)
{
    size_t length = strlen(rule);
    if (length == 0 || rule[length - 1] == '\\') /* which would continue on the next line */
        return failed(failure, "a rule of sudo is refused");
    text_format(&accounts->sudoers, "%s %s\n", user, rule);
    return accounts->sudoers.failed ? failed(failure, "too many rules of sudo") : 0;
}

void accounts_set_hash(struct accounts *accounts, const char *name, const char *hash)
{
    struct text *shadow = &accounts->shadow;
    char *line = accounts_line(shadow, name);
    if (!line)
        return;
    char *field = strchr(line, ':') + 1;
    size_t length = strcspn(field, ":\n"), at = (size_t)(field - shadow->bytes);
    memmove(field, field + length, shadow->length - at - length + 1);
    shadow->length -= length;
    text_insert(shadow, at, hash, strlen(hash));
}

int accounts_write(const struct accounts *accounts, int folder, struct failure *failure)
{
    int users = config_directory(folder, "users", failure);
    if (users < 0)
        return -1;
    int home = config_directory(users, "home", failure);
    int done = home < 0 ? -1 : config_close(home, 0755, failure);
    if (done == 0)
        done = config_write(users, "passwd", accounts->passwd.bytes, accounts->passwd.length, 0644,
                            failure);
    if (done == 0)
        done = config_write(users, "group", accounts->group.bytes, accounts->group.length, 0644,
                            failure);
    if (done == 0)
        done = config_write(users, "shadow", accounts->shadow.bytes, accounts->shadow.length, 0600,
                            failure);
    if (done == 0)
        done = config_write(users, "sudoers", accounts->sudoers.bytes, accounts->sudoers.length,
                            0440, failure);
    return config_close(users, 0755, done < 0 ? &(struct failure){0} : failure) | done;
}

void accounts_free(struct accounts *accounts)
{
    text_free(&accounts->passwd);
    text_free(&accounts->group);
    text_free(&accounts->shadow);
    text_free(&accounts->sudoers);
}
