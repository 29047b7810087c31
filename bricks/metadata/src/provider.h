/* provider.h: where metadata comes from. */
#ifndef COMPOS_PROVIDER_H
#define COMPOS_PROVIDER_H

#include "result.h"

#include <stdbool.h>

/* In the order in which they are tried. */
enum provider_group { PROVIDER_NETWORK, PROVIDER_DISC, PROVIDER_FILE, PROVIDER_GROUPS };

struct provider;

struct search {
    const struct provider *provider;
    const char *argument; /* of the command line */
    bool named;           /* whether the user asked for it: what others have, too, is then enough */
};

struct provider {
    const char *argument; /* all of it, or its beginning up to "=" */
    enum provider_group group;
    /* Whether it is here; if so, `result` has been begun, and holds what it knows. */
    bool (*find)(const struct search *search, struct result *result);
    const void *settings;
};

/* The provider of an argument; NULL if there is none. */
const struct provider *provider_named(const char *argument);

#endif
