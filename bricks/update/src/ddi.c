/*
 * ddi.c: see ddi.h. Sources: hawkBit's pages "Direct Device Integration API", with its OpenAPI
 * description, and "Authentication".
 */
#include "ddi.h"

#include "json/json.h"
#include "json/json_value.h"
#include "machine.h"
#include "web/fetch.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DDI_BODY = 4096, DDI_MACHINE = 256, DDI_TOKEN = 128 };

#define DDI_SUFFIX ".raucb"

/* A segment of a path, in which other bytes than letters, digits and few more are written %XX. */
static void ddi_segment(char *out, size_t size, const char *text)
{
    size_t at = 0;
    for (; *text && at + 4 < size; text++) {
        if (isalnum((unsigned char)*text) || strchr("-._~:", *text))
            out[at++] = *text;
        else
            at += (size_t)snprintf(out + at, size - at, "%%%02X", (unsigned char)*text);
    }
    out[at] = '\0';
}

static bool ddi_is_token(const char *token)
{
    for (const char *at = token; *at; at++)
        if (*at <= ' ' || *at > '~')
            return false;
    return *token && strlen(token) <= DDI_TOKEN;
}

int ddi_open(struct ddi *ddi, const struct terms_hawkbit *hawkbit, const char *token,
             struct failure *failure)
{
    char name[DDI_MACHINE], segment[3 * DDI_MACHINE];
    if (!ddi_is_token(token))
        return failed(failure, "its token is not one line of up to %d characters", DDI_TOKEN);
    if (*hawkbit->controller)
        snprintf(name, sizeof name, "%.*s", DDI_MACHINE - 1, hawkbit->controller);
    else
        machine_name(name, sizeof name);
    if (!*name)
        return failed(failure, "this machine has no name: firmware gives none");
    ddi_segment(segment, sizeof segment, name);
    int length =
        snprintf(ddi->base, sizeof ddi->base, "%s/controller/v1/%s", hawkbit->server, segment);
    snprintf(ddi->header, sizeof ddi->header, "Authorization: %s %s", hawkbit->scheme, token);
    return length < DDI_URL / 2 ? 0 : failed(failure, "its address is too long");
}

/* Asks for a document below the machine's address: the status, or -1. */
static int ddi_send(const struct ddi *ddi, const char *path, const char *method, const char *body,
                    struct fetch_answer *answer, struct failure *failure)
{
    char url[DDI_URL];
    const char *const headers[] = {ddi->header, "Accept: application/json",
                                   body ? "Content-Type: application/json" : NULL, NULL};
    const struct fetch_request request = {url, headers, method, body, true};
    snprintf(url, sizeof url, "%s%s", ddi->base, path);
    return fetch_send(&request, answer, failure) < 0 ? -1 : answer->status;
}

/* A document, whose text is to be freed after the tree. NULL with the reason. */
static struct json *ddi_get(const struct ddi *ddi, const char *path, struct fetch_answer *answer,
                            struct failure *failure)
{
    int status = ddi_send(ddi, path, NULL, NULL, answer, failure);
    if (status < 0)
        return NULL;
    struct json *root = NULL;
    if (status == 200)
        root = json_parse(answer->text, answer->length, failure);
    else
        failed(failure, "status %d", status);
    if (root && root->type == JSON_OBJECT)
        return root;
    if (root)
        failed(failure, "the answer is no object");
    json_free(root);
    free(answer->text);
    return NULL;
}

/* The number of an action, which a link names behind a word: empty if it does not. */
static void ddi_action(const struct json *links, const char *name, char id[DDI_ID])
{
    char href[DDI_URL], word[64];
    *id = '\0';
    if (json_value_text(json_member(links, name), "href", href, sizeof href) < 0)
        return;
    snprintf(word, sizeof word, "/%s/", name);
    const char *found = strstr(href, word);
    if (!found)
        return;
    found += strlen(word);
    size_t length = strspn(found, "0123456789");
    if (length && length < DDI_ID && strchr("?", found[length]))
        snprintf(id, DDI_ID, "%.*s", (int)length, found);
}

/* "HH:MM:SS" in seconds, 0 for anything else. */
static uint32_t ddi_sleep(const struct json *root)
{
    char text[16], more[2];
    unsigned hours, minutes, seconds;
    const struct json *polling = json_member(json_member(root, "config"), "polling");
    if (json_value_text(polling, "sleep", text, sizeof text) < 0 ||
        sscanf(text, "%3u:%2u:%2u%1s", &hours, &minutes, &seconds, more) != 3)
        return 0;
    return (hours * 60 + minutes) * 60 + seconds;
}

int ddi_poll(const struct ddi *ddi, struct ddi_tasks *tasks, struct failure *failure)
{
    struct fetch_answer answer;
    struct json *root = ddi_get(ddi, "", &answer, failure);
    if (!root)
        return -1;
    const struct json *links = json_member(root, "_links");
    *tasks = (struct ddi_tasks){
        .wants_attributes = json_member(links, "configData"),
        .confirmation =
            json_member(links, "confirmationBase") && !json_member(links, "deploymentBase"),
        .sleep = ddi_sleep(root),
    };
    ddi_action(links, "deploymentBase", tasks->deployment);
    ddi_action(links, "cancelAction", tasks->cancellation);
    json_free(root);
    free(answer.text);
    return 0;
}

static bool ddi_is_address(const char *url)
{
    bool web = strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0;
    return web && !strpbrk(url, " \"\\<>^`{|}");
}

/* Whether a URL has the scheme, host and port of the server. */
static bool ddi_is_ours(const struct ddi *ddi, const char *url)
{
    const char *host = strstr(ddi->base, "://") + 3;
    size_t length = (size_t)(host - ddi->base) + strcspn(host, "/");
    return strncmp(url, ddi->base, length) == 0 && url[length] == '/';
}

/* A file of a deployment, if it is a bundle. */
static void ddi_artifact(const struct ddi *ddi, const struct json *artifact,
                         struct ddi_deployment *deployment)
{
    static const char *const kinds[] = {"download", "download-http"};
    char name[1024], url[DDI_URL];
    const struct json *links = json_member(artifact, "_links");
    if (json_value_text(artifact, "filename", name, sizeof name) < 0)
        return;
    size_t length = strlen(name), suffix = strlen(DDI_SUFFIX);
    if (length <= suffix || strcmp(name + length - suffix, DDI_SUFFIX) != 0)
        return;
    deployment->bundles++;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct json *link = json_member(links, kinds[i]);
        if (*deployment->url || json_value_text(link, "href", url, sizeof url) < 0 ||
            !ddi_is_address(url))
            continue;
        snprintf(deployment->url, sizeof deployment->url, "%s", url);
        deployment->is_ours = ddi_is_ours(ddi, url);
    }
}

int ddi_deployment(const struct ddi *ddi, const char *id, struct ddi_deployment *deployment,
                   struct failure *failure)
{
    char path[64], update[16];
    struct fetch_answer answer;
    snprintf(path, sizeof path, "/deploymentBase/%s", id);
    struct json *root = ddi_get(ddi, path, &answer, failure);
    if (!root)
        return -1;
    const struct json *found = json_member(root, "deployment");
    *deployment = (struct ddi_deployment){0};
    deployment->now = json_value_text(found, "update", update, sizeof update) == 0 &&
                      (strcmp(update, "forced") == 0 || strcmp(update, "attempt") == 0);
    const struct json *chunk = json_value_entries(found, "chunks");
    for (; chunk; chunk = chunk->next) {
        const struct json *artifact = json_value_entries(chunk, "artifacts");
        for (; artifact; artifact = artifact->next)
            ddi_artifact(ddi, artifact, deployment);
    }
    json_free(root);
    free(answer.text);
    return 0;
}

int ddi_cancellation(const struct ddi *ddi, const char *id, char stop[DDI_ID],
                     struct failure *failure)
{
    char path[64];
    struct fetch_answer answer;
    snprintf(path, sizeof path, "/cancelAction/%s", id);
    struct json *root = ddi_get(ddi, path, &answer, failure);
    if (!root)
        return -1;
    const struct json *found = json_member(root, "cancelAction");
    int result = json_value_text(found, "stopId", stop, DDI_ID);
    json_free(root);
    free(answer.text);
    if (result < 0 || strspn(stop, "0123456789") != strlen(stop))
        return failed(failure, "the cancellation names no action");
    return 0;
}

/* A text between quotes; what JSON would have to describe is a question mark. */
static void ddi_say(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', out);
        fputc(*text >= ' ' && *text <= '~' ? *text : '?', out);
    }
    fputc('"', out);
}

/* Sends a document. What the server does not know any more, nobody has to be told of. */
static int ddi_put(const struct ddi *ddi, const char *path, const char *method, const char *body,
                   struct failure *failure)
{
    struct fetch_answer answer;
    int status = ddi_send(ddi, path, method, body, &answer, failure);
    if (status < 0)
        return -1;
    free(answer.text);
    if ((status >= 200 && status < 300) || status == 404 || status == 410)
        return 0;
    return failed(failure, "status %d", status);
}

int ddi_feedback(const struct ddi *ddi, enum ddi_kind kind, const char *id, const char *execution,
                 const char *finished, const char *detail, struct failure *failure)
{
    char path[96], body[DDI_BODY] = "", line[DDI_DETAIL];
    snprintf(path, sizeof path, "/%s/%s/feedback",
             kind == DDI_DEPLOYMENT ? "deploymentBase" : "cancelAction", id);
    snprintf(line, sizeof line, "%s", detail);
    FILE *out = fmemopen(body, sizeof body, "w");
    if (!out)
        return failed_errno(failure, "no memory");
    fprintf(out,
            "{\"id\":\"%s\",\"status\":{\"execution\":\"%s\",\"result\":{\"finished\":\"%s\"},"
            "\"details\":[",
            id, execution, finished);
    ddi_say(out, line);
    fputs("]}}", out);
    fclose(out);
    return ddi_put(ddi, path, "POST", body, failure);
}

int ddi_attributes(const struct ddi *ddi, const struct terms *own, struct failure *failure)
{
    char body[DDI_BODY] = "", name[DDI_MACHINE];
    machine_name(name, sizeof name);
    FILE *out = fmemopen(body, sizeof body, "w");
    if (!out)
        return failed_errno(failure, "no memory");
    fputs("{\"mode\":\"merge\",\"data\":{\"machine\":", out);
    ddi_say(out, name);
    fputs(",\"compatible\":", out);
    ddi_say(out, own->compatible);
    fputs(",\"version\":", out);
    ddi_say(out, own->version);
    fputs("}}", out);
    fclose(out);
    return ddi_put(ddi, "/configData", "PUT", body, failure);
}
