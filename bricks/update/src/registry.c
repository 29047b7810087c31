/* registry.c: see registry.h. */
#include "registry.h"

#include "json/json.h"
#include "json/json_value.h"
#include "web/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REGISTRY_BUNDLE "application/vnd.compos.update.bundle.v1"
#define REGISTRY_ACCEPT "Accept: application/vnd.oci.image.manifest.v1+json"
#define REGISTRY_VERSION "org.opencontainers.image.version"
#define REGISTRY_ROLLOUT "org.compos.update.rollout"

enum { DIGEST = 71, REGISTRY_PART = 1024 };

/* The parts of a name. */
struct registry_name {
    const char *scheme;
    char host[REGISTRY_PART], repository[REGISTRY_PART], tag[129];
};

static const char *registry_rest(const char *source, const char **scheme)
{
    *scheme = strncmp(source, "oci+http://", 11) == 0 ? "http" : "https";
    if (strncmp(source, "oci://", 6) == 0)
        return source + 6;
    return strncmp(source, "oci+http://", 11) == 0 ? source + 11 : NULL;
}

bool registry_is(const char *source)
{
    const char *scheme;
    return registry_rest(source, &scheme);
}

static int registry_name(const char *source, struct registry_name *name, struct failure *failure)
{
    const char *rest = registry_rest(source, &name->scheme);
    const char *path = rest ? strchr(rest, '/') : NULL;
    if (!path || path == rest || !path[1])
        return failed(failure, "no name of an artifact");
    const char *tag = strrchr(path, ':');
    size_t host = (size_t)(path - rest);
    size_t length = tag ? (size_t)(tag - path - 1) : strlen(path + 1);
    if (host >= sizeof name->host || length >= sizeof name->repository ||
        (tag && strlen(tag + 1) >= sizeof name->tag))
        return failed(failure, "its name is too long");
    snprintf(name->host, sizeof name->host, "%.*s", (int)host, rest);
    snprintf(name->repository, sizeof name->repository, "%.*s", (int)length, path + 1);
    snprintf(name->tag, sizeof name->tag, "%s", tag ? tag + 1 : "latest");
    return 0;
}

/* A parameter of a challenge: realm="…". -1 if it is not there or longer than its place. */
static int registry_parameter(const char *challenge, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);
    for (const char *at = challenge; (at = strstr(at, name)); at += length) {
        bool word = at > challenge && (at[-1] == ' ' || at[-1] == ',');
        if (!word || at[length] != '=' || at[length + 1] != '"')
            continue;
        const char *start = at + length + 2;
        size_t count = strcspn(start, "\"");
        if (start[count] != '"' || count >= size)
            return -1;
        memcpy(value, start, count);
        value[count] = '\0';
        return 0;
    }
    return -1;
}

/* Bytes of a query's value that mean something else there, as %XX. */
static void registry_quoted(char *out, size_t size, const char *text)
{
    size_t at = 0;
    for (; *text && at + 4 < size; text++) {
        if (strchr(" #%&+?\"", *text) || *text < ' ')
            at += (size_t)snprintf(out + at, size - at, "%%%02X", (unsigned char)*text);
        else
            out[at++] = *text;
    }
    out[at] = '\0';
}

/* A token from a document with one, as a header. */
static int registry_token_of(struct fetch_answer *answer, char *header, struct failure *failure)
{
    char token[REGISTRY_TOKEN - 32];
    struct json *root = json_parse(answer->text, answer->length, failure);
    if (!root)
        return -1;
    int found = json_value_text(root, "token", token, sizeof token);
    if (found < 0)
        found = json_value_text(root, "access_token", token, sizeof token);
    json_free(root);
    if (found < 0)
        return failed(failure, "the registry gives no token");
    snprintf(header, REGISTRY_TOKEN, "Authorization: Bearer %s", token);
    return 0;
}

/* What a registry wants to see of somebody without a name and a password. */
static int registry_token(const struct registry_name *name, const char *challenge, char *header,
                          struct failure *failure)
{
    static const char *const none[] = {NULL};
    char realm[REGISTRY_PART], service[REGISTRY_PART] = "", quoted[REGISTRY_PART];
    char url[REGISTRY_TEXT];
    struct fetch_answer answer;
    if (strncasecmp(challenge, "Bearer ", 7) != 0 ||
        registry_parameter(challenge, "realm", realm, sizeof realm) < 0)
        return failed(failure, "the registry wants a name and a password");
    if (strcmp(name->scheme, "https") == 0 && strncmp(realm, "https://", 8) != 0)
        return failed(failure, "the registry would have its token fetched in the clear");
    if (registry_parameter(challenge, "service", service, sizeof service) < 0)
        service[0] = '\0';
    registry_quoted(quoted, sizeof quoted, service);
    snprintf(url, sizeof url, "%s%cservice=%s&scope=repository:%s:pull", realm,
             strchr(realm, '?') ? '&' : '?', quoted, name->repository);
    if (fetch_document(url, none, &answer, failure) < 0)
        return -1;
    int result = answer.status == 200
                     ? registry_token_of(&answer, header, failure)
                     : failed(failure, "the registry gives no token: status %d", answer.status);
    free(answer.text);
    return result;
}

/* Which version the manifest names, and how far it may spread; empty if it does not say. */
static void registry_rollout(const struct json *root, char *rollout, size_t size)
{
    char version[65], share[16];
    const struct json *annotations = json_member(root, "annotations");
    rollout[0] = '\0';
    if (json_value_text(annotations, REGISTRY_VERSION, version, sizeof version) < 0)
        return;
    if (json_value_text(annotations, REGISTRY_ROLLOUT, share, sizeof share) < 0)
        snprintf(share, sizeof share, "100");
    snprintf(rollout, size, "%s %s", version, share);
}

/* The digest of the layer that is a bundle. */
static int registry_layer(const struct json *root, char *digest, size_t size)
{
    char kind[REGISTRY_PART];
    const struct json *layer = json_value_entries(root, "layers");
    for (; layer; layer = layer->next) {
        if (json_value_text(layer, "mediaType", kind, sizeof kind) < 0 ||
            strcmp(kind, REGISTRY_BUNDLE) != 0)
            continue;
        if (json_value_text(layer, "digest", digest, size) == 0 && strlen(digest) == DIGEST &&
            strncmp(digest, "sha256:", 7) == 0 &&
            strspn(digest + 7, "0123456789abcdef") == DIGEST - 7)
            return 0;
    }
    return -1;
}

static int registry_manifest(const struct registry_name *name, struct fetch_answer *answer,
                             struct registry_bundle *bundle, struct failure *failure)
{
    char digest[DIGEST + 1];
    if (answer->status != 200)
        return failed(failure, "status %d", answer->status);
    struct json *root = json_parse(answer->text, answer->length, failure);
    if (!root)
        return -1;
    registry_rollout(root, bundle->rollout, sizeof bundle->rollout);
    int found = registry_layer(root, digest, sizeof digest);
    json_free(root);
    if (found < 0)
        return failed(failure, "there is no update under this name");
    snprintf(bundle->url, sizeof bundle->url, "%s://%s/v2/%s/blobs/%s", name->scheme, name->host,
             name->repository, digest);
    return 0;
}

int registry_find(const char *source, struct registry_bundle *bundle, struct failure *failure)
{
    struct registry_name name;
    struct fetch_answer answer;
    char url[REGISTRY_TEXT];
    const char *headers[] = {REGISTRY_ACCEPT, NULL, NULL};
    *bundle = (struct registry_bundle){0};
    if (registry_name(source, &name, failure) < 0)
        return -1;
    snprintf(url, sizeof url, "%s://%s/v2/%s/manifests/%s", name.scheme, name.host, name.repository,
             name.tag);
    if (fetch_document(url, headers, &answer, failure) < 0)
        return -1;
    if (answer.status == 401) {
        free(answer.text);
        if (registry_token(&name, answer.challenge, bundle->header, failure) < 0)
            return -1;
        headers[1] = bundle->header;
        if (fetch_document(url, headers, &answer, failure) < 0)
            return -1;
    }
    int result = registry_manifest(&name, &answer, bundle, failure);
    free(answer.text);
    return result;
}
