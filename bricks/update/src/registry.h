/*
 * registry.h: a bundle that is an artifact at an OCI registry: from its name to the blob that is
 * the bundle. Source: OCI distribution specification 1.1, "Pulling manifests" and "Pulling blobs";
 * the token protocol is that of the CNCF's distribution ("Token Authentication Specification").
 */
#ifndef COMPOS_REGISTRY_H
#define COMPOS_REGISTRY_H

#include "base/failure.h"

#include <stdbool.h>

enum { REGISTRY_TEXT = 4096, REGISTRY_TOKEN = 16384 };

struct registry_bundle {
    char url[REGISTRY_TEXT];     /* the blob's */
    char header[REGISTRY_TOKEN]; /* to be sent with each request for it; may be empty */
    char rollout[128];           /* as schedule_rollout reads it; empty: no limits */
};

/* Whether a source is at one: oci://HOST[:PORT]/REPOSITORY[:TAG]; oci+http:// is without TLS. */
bool registry_is(const char *source);

/* Asks the registry. -1 if there is no bundle under the name. */
int registry_find(const char *source, struct registry_bundle *bundle, struct failure *failure);

#endif
