/* users.c: see users.h. */
#include "user_data/users.h"

#include "config.h"
#include "json/json_value.h"
#include "report.h"
#include "user_data/cloud_config.h"
#include "user_data/passwords.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEADER "#cloud-config: users"

enum { MAX_FIELD = 256, MAX_KEY_BYTES = 65536 };

/* A user as it is in the document. */
struct users_entry {
    const struct json *source;
    char name[MAX_NAME];
    char gecos[MAX_FIELD];
    char shell[MAX_FIELD];
    char group[MAX_NAME];
    char hash[MAX_FIELD];
};

/* A field of passwd(5): empty where there is none; -1 if it would break its line. */
static int users_field(const struct json *user, const char *key, char *field, size_t size)
{
    field[0] = '\0';
    const struct json *value = json_member(user, key);
    if (!value || value->type == JSON_NULL)
        return 0;
    return json_value_copy(value, field, size) < 0 || strchr(field, ':') ? -1 : 0;
}

/*
 * A star: no password opens the account, but it is not locked, which sshd would hold against keys,
 * too.
 */
static int users_hash(struct users_entry *entry, struct failure *failure)
{
    const struct json *user = entry->source;
    const char *key = json_member(user, "hashed_passwd") ? "hashed_passwd" : "passwd";
    bool locked = json_value_flag(user, "lock_passwd", json_value_flag(user, "lock-passwd", true));
    snprintf(entry->hash, sizeof entry->hash, "*");
    if (locked || !json_member(user, key))
        return 0;
    if (json_value_text(user, key, entry->hash, sizeof entry->hash) == 0 &&
        accounts_is_hash(entry->hash))
        return 0;
    return failed(failure, "its password is no hash of crypt(5)");
}

static int users_read(struct users_entry *entry, struct failure *failure)
{
    const struct json *user = entry->source;
    if (json_value_text(user, "name", entry->name, sizeof entry->name) < 0 ||
        !accounts_is_name(entry->name))
        return failed(failure, "a name that is no user's");
    if (users_field(user, "gecos", entry->gecos, sizeof entry->gecos) < 0 ||
        users_field(user, "shell", entry->shell, sizeof entry->shell) < 0 ||
        users_field(user, "primary_group", entry->group, sizeof entry->group) < 0)
        return failed(failure, "%s: a field is too long, or not of ASCII without colons",
                      entry->name);
    if (!entry->shell[0])
        snprintf(entry->shell, sizeof entry->shell, "/bin/sh");
    if (!entry->group[0])
        snprintf(entry->group, sizeof entry->group, "%s", entry->name);
    bool root = strcmp(entry->name, "root") == 0;
    if (entry->shell[0] != '/' || !accounts_is_name(entry->group) ||
        (!root && strcmp(entry->group, "root") == 0))
        return failed(failure, "%s: its shell or group is refused", entry->name);
    struct failure reason;
    if (users_hash(entry, &reason) < 0)
        return failed(failure, "%s: %.256s", entry->name, reason.text);
    return 0;
}

static void users_join_one(struct result *result, const char *user, const char *group)
{
    struct failure failure;
    if (!accounts_is_name(group) || strcmp(group, "root") == 0)
        report(HEADER ": %s: the group %.32s is refused", user, group);
    else if (accounts_group(&result->accounts, group, -1, false, &failure) < 0 ||
             accounts_join(&result->accounts, group, user, &failure) < 0)
        report(HEADER ": %s: %s", user, failure.text);
}

/* A sequence, or a string with commas. */
static void users_join(struct result *result, const char *user, const struct json *groups)
{
    char names[MAX_FIELD * 4], name[MAX_NAME];
    for (const struct json *group = groups && groups->type == JSON_ARRAY ? groups->first : NULL;
         group; group = group->next)
        if (json_value_copy(group, name, sizeof name) == 0)
            users_join_one(result, user, name);
    if (json_value_copy(groups, names, sizeof names) < 0)
        return;
    char *rest = names;
    for (char *part; (part = strsep(&rest, ", ")) != NULL;)
        if (*part)
            users_join_one(result, user, part);
}

static void users_sudo_one(struct result *result, const char *user, const struct json *rule)
{
    struct failure failure = {0};
    char text[MAX_FIELD];
    if (json_value_copy(rule, text, sizeof text) < 0)
        failed(&failure, "a rule of sudo is refused");
    else if (strcasecmp(text, "false") == 0 || strcasecmp(text, "null") == 0 ||
             accounts_sudo(&result->accounts, user, text, &failure) == 0)
        return;
    report(HEADER ": %s: %s", user, failure.text);
}

/* "sudo": a rule, several of them, or null or false (words, where they come from YAML). */
static void users_sudo(struct result *result, const char *user, const struct json *rules)
{
    if (!rules || rules->type == JSON_NULL)
        return;
    if (rules->type != JSON_ARRAY)
        users_sudo_one(result, user, rules);
    else
        for (const struct json *rule = rules->first; rule; rule = rule->next)
            users_sudo_one(result, user, rule);
}

struct users_ids {
    uid_t user;
    gid_t group;
};

/* Its own where the container may do that (CAP_CHOWN); root's, which sshd accepts, otherwise. */
static int users_give(int folder, const char *name, const struct users_ids *ids,
                      struct failure *failure)
{
    if (fchownat(folder, name, ids->user, ids->group, AT_SYMLINK_NOFOLLOW) == 0 || errno == EPERM)
        return 0;
    return failed_errno(failure, "%s", name);
}

/* home/NAME/.ssh/authorized_keys below `users`, which it closes. */
static int users_write_home(int users, const char *name, const struct users_ids *ids,
                            const struct text *keys, struct failure *failure)
{
    int home = config_directory(users, "home", failure);
    config_close(users, 0755, &(struct failure){0});
    if (home < 0)
        return -1;
    int own = config_directory(home, name, failure);
    int folder = own < 0 ? -1 : config_directory(own, ".ssh", failure);
    int done = folder < 0 ? -1 : 0;
    if (done == 0 && keys->length > 0)
        done = config_write(folder, "authorized_keys", keys->bytes, keys->length, 0644, failure);
    if (done == 0 && keys->length > 0)
        done = users_give(folder, "authorized_keys", ids, failure);
    if (folder >= 0)
        done |= config_close(folder, 0755, failure);
    if (folder >= 0)
        done |= users_give(own, ".ssh", ids, failure);
    if (own >= 0) {
        done |= config_close(own, 0755, failure);
        done |= users_give(home, name, ids, failure);
    }
    return config_close(home, 0755, failure) | done;
}

static void users_make_home(struct result *result, const struct users_entry *entry, long id)
{
    struct failure failure;
    struct text keys = {0};
    long group = accounts_group(&result->accounts, entry->group, -1, false, &failure);
    const struct users_ids ids = {(uid_t)id, (gid_t)group};
    cloud_config_keys(entry->source, &keys);
    int users = config_directory(result->folder, "users", &failure);
    if (users < 0 || users_write_home(users, entry->name, &ids, &keys, &failure) < 0)
        report(HEADER ": %s: its home: %s", entry->name, failure.text);
    text_free(&keys);
}

/* What is not in a container's files, by its names. */
static void users_report_others(const struct users_entry *entry)
{
    static const char *const known[] = {"name",
                                        "gecos",
                                        "shell",
                                        "uid",
                                        "primary_group",
                                        "groups",
                                        "passwd",
                                        "hashed_passwd",
                                        "lock_passwd",
                                        "lock-passwd",
                                        "sudo",
                                        "system",
                                        "ssh_authorized_keys",
                                        "ssh-authorized-keys"};
    char names[256] = "", home[MAX_FIELD], usual[MAX_FIELD];
    for (const struct json *member = entry->source->first; member; member = member->next) {
        bool carried_out = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            carried_out |= strcmp(member->key, known[i]) == 0;
        snprintf(usual, sizeof usual, "/home/%s", entry->name);
        if (strcmp(member->key, "homedir") == 0 &&
            json_value_copy(member, home, sizeof home) == 0 && strcmp(home, usual) == 0)
            carried_out = true;
        size_t length = strlen(names);
        if (!carried_out)
            snprintf(names + length, sizeof names - length, "%s%s", length ? ", " : "",
                     member->key);
    }
    if (*names)
        report(HEADER ": %s: not carried out: %s", entry->name, names);
}

/* Of root, there are the password and keys; other users of the container's files are not its. */
static int users_change(struct result *result, const struct users_entry *entry,
                        struct failure *failure)
{
    if (strcmp(entry->name, "root") != 0)
        return failed(failure, "%s: there is such a user", entry->name);
    accounts_set_hash(&result->accounts, entry->name, entry->hash);
    cloud_config_add_keys(result, entry->source);
    return 0;
}

static int users_add(struct result *result, const struct json *user, struct failure *failure)
{
    struct users_entry entry = {.source = user};
    struct failure reason;
    if (users_read(&entry, failure) < 0)
        return -1;
    if (accounts_has_user(&result->accounts, entry.name))
        return users_change(result, &entry, failure);
    const struct account account = {
        .name = entry.name,
        .gecos = entry.gecos,
        .shell = entry.shell,
        .group = entry.group,
        .hash = entry.hash,
        .id = json_value_number(user, "uid", FIRST_ID, LAST_ID),
        .system = json_value_flag(user, "system", false),
    };
    if (json_member(user, "uid") && account.id < 0)
        return failed(failure, "%s: its uid is not from %d to %d", entry.name, FIRST_ID, LAST_ID);
    long id = accounts_add(&result->accounts, &account, &reason);
    if (id < 0)
        return failed(failure, "%s: %.256s", entry.name, reason.text);
    users_join(result, entry.name, json_member(user, "groups"));
    users_sudo(result, entry.name, json_member(user, "sudo"));
    users_make_home(result, &entry, id);
    users_report_others(&entry);
    return 0;
}

/* "groups": names, or mappings of a name to its members, which must be there by then. */
static void users_make_groups(struct result *result, const struct json *groups)
{
    struct failure failure;
    char name[MAX_NAME];
    const struct json *group = groups && groups->type == JSON_ARRAY ? groups->first : NULL;
    for (; group; group = group->next) {
        bool named = group->type == JSON_OBJECT && group->first;
        snprintf(name, sizeof name, "%s", named ? group->first->key : "");
        if (!named)
            json_value_copy(group, name, sizeof name);
        if (!accounts_is_name(name))
            report("#cloud-config: groups: a name that is no group's");
        else if (accounts_group(&result->accounts, name, -1, false, &failure) < 0)
            report("#cloud-config: groups: %s: %s", name, failure.text);
    }
}

static void users_fill_groups(struct result *result, const struct json *groups)
{
    char name[MAX_NAME];
    const struct json *group = groups && groups->type == JSON_ARRAY ? groups->first : NULL;
    for (; group; group = group->next) {
        const struct json *members = group->type == JSON_OBJECT ? group->first : NULL;
        const struct json *member = members && members->type == JSON_ARRAY ? members->first : NULL;
        for (; member; member = member->next)
            if (json_value_copy(member, name, sizeof name) == 0 &&
                accounts_has_user(&result->accounts, name))
                users_join_one(result, name, members->key);
    }
}

void users_apply(struct result *result, const struct json *root)
{
    struct failure failure;
    const struct json *groups = json_member(root, "groups");
    users_make_groups(result, groups);
    for (const struct json *user = json_value_entries(root, "users"); user; user = user->next)
        if (user->type == JSON_OBJECT && users_add(result, user, &failure) < 0)
            report(HEADER ": %s", failure.text);
    users_fill_groups(result, groups);
    passwords_apply(result, json_member(root, "chpasswd"));
}
