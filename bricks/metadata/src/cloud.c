/* cloud.c: see cloud.h. */
#include "cloud.h"

#include "connection.h"
#include "http.h"
#include "json/json.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In milliseconds: of a request, of one for user data, and of all that follow the first. */
enum { TIMEOUT = 2000, LONG_TIMEOUT = 10000, ALL_TIMEOUT = 30000 };

#define TOKEN_PATH "/latest/api/token"
#define TOKEN_LIFETIME "X-aws-ec2-metadata-token-ttl-seconds: 300\r\n"
#define TOKEN_HEADER "X-aws-ec2-metadata-token: "

struct cloud_session {
    const struct cloud *cloud;
    char headers[1024];
    int64_t deadline; /* INT64_MAX while it is looked for */
    bool broken;      /* it answered, but not as it should, or not in time: nothing more is asked */
};

static int cloud_send(const struct cloud_session *session, const char *method, const char *path,
                      const char *headers, size_t limit, int timeout,
                      struct http_response *response, struct failure *failure)
{
    int64_t left = session->deadline - connection_now();
    const struct http_request request = {
        .method = method,
        .address = session->cloud->address,
        .host = session->cloud->host,
        .path = path,
        .headers = headers,
        .limit = limit,
        .timeout = left < timeout ? (int)(left < 0 ? 0 : left) : timeout,
    };
    return http_send(&request, response, failure);
}

/* A response of status 200; -1, reported, otherwise. A value that is not there is a detail. */
static int cloud_get(struct cloud_session *session, const char *path, size_t limit, int timeout,
                     struct http_response *response)
{
    struct failure failure;
    const char *name = session->cloud->name;
    if (session->broken)
        return -1;
    if (cloud_send(session, "GET", path, session->headers, limit, timeout, response, &failure) <
        0) {
        session->broken = true;
        report("%s: %s: %s", name, path, failure.text);
        return -1;
    }
    if (response->status == 200)
        return 0;
    report_detail("%s: %s: status %d", name, path, response->status);
    http_forget(response);
    return -1;
}

/*
 * One that is asked whether it is this cloud. Where nobody listens, there is nothing to report; who
 * answers with something else than HTTP need not be asked again in the name of another cloud.
 */
static int cloud_probe(const struct cloud_session *session, const char *method, const char *path,
                       const char *headers, struct http_response *response)
{
    struct failure failure;
    const struct cloud *cloud = session->cloud;
    if (cloud_send(session, method, path, headers, MAX_VALUE, TIMEOUT, response, &failure) == 0)
        return 0;
    if (response->reached) {
        report("%s: %s: %s", cloud->name, path, failure.text);
        connection_avoid(cloud->address);
    } else {
        report_detail("%s: %s", cloud->name, failure.text);
    }
    return -1;
}

static bool cloud_is_token(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (text[i] <= ' ' || text[i] > '~')
            return false;
    return length > 0 && length <= 512;
}

/*
 * IMDSv2: a token that only a PUT returns. Only where that is not known (the service is older, or
 * imitates an older one) requests go without; if the user has not named AWS, the service must then
 * say that it is AWS's.
 */
static int cloud_fetch_token(struct cloud_session *session, bool named)
{
    struct http_response response;
    int done = -1;
    if (cloud_probe(session, "PUT", TOKEN_PATH, TOKEN_LIFETIME, &response) < 0)
        return -1;
    if (response.status == 200 && cloud_is_token(response.body, response.length)) {
        snprintf(session->headers, sizeof session->headers, TOKEN_HEADER "%s\r\n", response.body);
        done = 0;
    } else if (response.status == 404 || response.status == 405 || response.status == 501) {
        done = named || strncmp(response.server, "EC2", 3) == 0 ? 0 : -1;
    } else {
        report("%s: " TOKEN_PATH ": no token, status %d", session->cloud->name, response.status);
    }
    http_forget(&response);
    return done;
}

static void cloud_add_json_keys(struct result *result, char *text, size_t length)
{
    struct failure failure;
    struct json *root = json_parse(text, length, &failure);
    if (!root)
        report("%s: SSH keys: %s", result->provider, failure.text);
    for (const struct json *key = root ? root->first : NULL; key; key = key->next)
        if (key->type == JSON_STRING)
            result_keys(result, key->text, key->length);
    json_free(root);
}

static void cloud_add_user_keys(struct result *result, const char *text)
{
    while (*text) {
        size_t line = strcspn(text, "\n");
        const char *colon = memchr(text, ':', line);
        if (colon)
            result_key(result, colon + 1, line - (size_t)(colon + 1 - text));
        text += line + (text[line] == '\n');
    }
}

static void cloud_add_keys(struct cloud_session *session, struct result *result)
{
    struct http_response response;
    if (cloud_get(session, session->cloud->keys, MAX_KEYS, TIMEOUT, &response) < 0)
        return;
    switch (session->cloud->keys_form) {
    case CLOUD_KEYS_LINES:
        result_keys(result, response.body, response.length);
        break;
    case CLOUD_KEYS_USERS:
        cloud_add_user_keys(result, response.body);
        break;
    case CLOUD_KEYS_JSON:
        cloud_add_json_keys(result, response.body, response.length);
        break;
    }
    http_forget(&response);
}

static void cloud_extract(struct cloud_session *session, struct result *result)
{
    const struct cloud *cloud = session->cloud;
    struct http_response response;
    session->deadline = connection_now() + ALL_TIMEOUT;
    for (const struct cloud_value *value = cloud->values; value->file; value++) {
        if (cloud_get(session, value->path, MAX_VALUE, TIMEOUT, &response) < 0)
            continue;
        result_value(result, value->file, response.body, response.length);
        http_forget(&response);
    }
    cloud_add_keys(session, result);
    if (cloud->user_data &&
        cloud_get(session, cloud->user_data, MAX_USER_DATA, LONG_TIMEOUT, &response) == 0)
        result_user_data(result, response.body, response.length);
}

bool cloud_find(const struct search *search, struct result *result)
{
    const struct cloud *cloud = search->provider->settings;
    struct cloud_session session = {.cloud = cloud, .deadline = INT64_MAX};
    struct http_response response;
    snprintf(session.headers, sizeof session.headers, "%s", cloud->headers ? cloud->headers : "");
    if (cloud->token && cloud_fetch_token(&session, search->named) < 0)
        return false;
    if (cloud_probe(&session, "GET", cloud->hostname, session.headers, &response) < 0)
        return false;
    bool found = response.status == 200 &&
                 (!cloud->flavor || strcmp(response.metadata_flavor, cloud->flavor) == 0) &&
                 result_begin(result, cloud->name) == 0;
    if (found) {
        result_hostname(result, response.body, response.length);
        cloud_extract(&session, result);
    } else {
        report_detail("%s: %s: status %d", cloud->name, cloud->hostname, response.status);
    }
    http_forget(&response);
    return found;
}
