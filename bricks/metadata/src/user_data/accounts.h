/*
 * accounts.h: passwd, group, shadow and sudoers for containers: those of this one, and what user
 * data adds.
 */
#ifndef COMPOS_ACCOUNTS_H
#define COMPOS_ACCOUNTS_H

#include "base/failure.h"
#include "text.h"

#include <stdbool.h>

/* MAX_NAME: of a user or group, with a zero byte. */
enum { MAX_NAME = 33, FIRST_ID = 1000, FIRST_SYSTEM_ID = 200, LAST_ID = 59999 };

struct accounts {
    struct text passwd;
    struct text group;
    struct text shadow;
    struct text sudoers;
    size_t given; /* bytes of passwd that this container has: what follows is added */
};

struct account {
    const char *name;
    const char *gecos;
    const char *shell;
    const char *group; /* its primary one */
    const char *hash;  /* of its password; "*": none opens it */
    long id;           /* or -1: the next one */
    bool system;
};

/* What /etc has; root alone where it has nothing. */
int accounts_load(struct accounts *accounts, struct failure *failure);

/* Whether a name is one that useradd would take. */
bool accounts_is_name(const char *name);
bool accounts_has_user(const struct accounts *accounts, const char *name);

/* The group's number; it is made where it is missing, as `id`, or as the next one if that is -1. */
long accounts_group(struct accounts *accounts, const char *name, long id, bool system,
                    struct failure *failure);
int accounts_join(struct accounts *accounts, const char *group, const char *user,
                  struct failure *failure);

/* Adds a user, with its primary group; its number. */
long accounts_add(struct accounts *accounts, const struct account *account,
                  struct failure *failure);

/* Whether user data may set a user's password: root's, and those of whom it has added. */
bool accounts_may_change(const struct accounts *accounts, const char *name);

/* Whether it is a hash of crypt(5), "$id$salt$hash", that cannot break a line of shadow(5). */
bool accounts_is_hash(const char *hash);

/* Sets the password of a user that is there. */
void accounts_set_hash(struct accounts *accounts, const char *name, const char *hash);

/* Adds a line "USER RULE" of sudoers(5). */
int accounts_sudo(struct accounts *accounts, const char *user, const char *rule,
                  struct failure *failure);

/* Writes the four files below `folder`. */
int accounts_write(const struct accounts *accounts, int folder, struct failure *failure);
void accounts_free(struct accounts *accounts);

#endif
