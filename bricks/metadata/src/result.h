/* result.h: what a provider knows of this machine, on its way to /run/config. */
#ifndef COMPOS_RESULT_H
#define COMPOS_RESULT_H

#include "base/failure.h"
#include "text.h"
#include "user_data/accounts.h"

#include <stdbool.h>
#include <stddef.h>

/* In bytes. */
enum { MAX_VALUE = 65536, MAX_KEYS = 262144, MAX_USER_DATA = 4 << 20 };

/* What the command line lets metadata decide, beyond names, keys and files. */
struct allowed {
    bool users;
    bool commands;
    bool network;
};

struct result {
    struct allowed allowed;
    int folder;         /* /run/config; -1 until there is something for it */
    char provider[96];  /* as it calls itself */
    char hostname[256]; /* or empty */
    struct text keys;   /* authorized_keys */
    char *user_data;    /* or NULL */
    size_t user_data_length;
    struct accounts accounts; /* if users are allowed */
    bool has_network;         /* whether a network configuration has been carried out */
    struct text dhcp;         /* its interfaces that want DHCP, each behind a space */
};

/* Opens /run/config for a provider that has been found; "" for none. */
int result_begin(struct result *result, const char *provider);

/* Writes the file `name`; white space at the end of the value is cut off. */
void result_value(struct result *result, const char *name, const char *bytes, size_t length);

/* A name that is no host name is reported and left out. */
void result_hostname(struct result *result, const char *bytes, size_t length);

/*
 * One more line of ssh/authorized_keys; empty lines, comments and control characters are left out.
 */
void result_key(struct result *result, const char *bytes, size_t length);

/* As `result_key`, of each line. */
void result_keys(struct result *result, const char *bytes, size_t length);

/* As those, of other authorized_keys than the result's. */
void result_add_key(struct text *keys, const char *bytes, size_t length);
void result_add_keys(struct text *keys, const char *bytes, size_t length);

/* Takes `bytes`, which malloc made, over. */
void result_user_data(struct result *result, char *bytes, size_t length);

/*
 * Writes all that is there, sets the host's name, and releases what is held. 0, or -1 (reported).
 */
int result_finish(struct result *result);

#endif
