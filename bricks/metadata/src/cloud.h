/* cloud.h: providers that answer HTTP requests for one value at a time. */
#ifndef COMPOS_CLOUD_H
#define COMPOS_CLOUD_H

#include "provider.h"

/* How a cloud writes SSH keys. */
enum cloud_keys {
    CLOUD_KEYS_LINES, /* one in each line */
    CLOUD_KEYS_USERS, /* as before, each behind a user's name and a colon */
    CLOUD_KEYS_JSON,  /* an array of strings */
};

struct cloud_value {
    const char *file; /* of /run/config */
    const char *path;
};

struct cloud {
    const char *name;
    const char *address;
    const char *host;    /* in requests; NULL: the address */
    const char *headers; /* of all requests; or NULL */
    bool token;          /* whether requests need one, as IMDSv2 wants them */
    const char *flavor;  /* what the header Metadata-Flavor of a response must say; or NULL */
    const char *hostname;
    struct cloud_value values[8];
    enum cloud_keys keys_form;
    const char *keys;
    const char *user_data; /* or NULL */
};

bool cloud_find(const struct search *search, struct result *result);

#endif
