/* scaleway.c: see scaleway.h. */
#include "scaleway.h"

#include "connection.h"
#include "http.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "Scaleway"
#define ADDRESS "169.254.42.42"

/* MAX_LISTED: of SSH keys, whatever number the document states. */
enum { TIMEOUT = 2000, LONG_TIMEOUT = 10000, MAX_LISTED = 256 };

struct scaleway_value {
    const char *file;
    const char *key;
};

static const struct scaleway_value scaleway_values[] = {
    {"instance_id", "ID"},
    {"instance_location", "LOCATION_ZONE_ID"},
    {"public_ip", "PUBLIC_IP_ADDRESS"},
    {"private_ip", "PRIVATE_IP"},
};

/* The value of a line, without the quotation marks around it; NULL if there is no such line. */
static const char *scaleway_value(const char *text, const char *key, size_t *length)
{
    size_t key_length = strlen(key);
    while (*text) {
        size_t line = strcspn(text, "\n");
        if (line > key_length && text[key_length] == '=' && memcmp(text, key, key_length) == 0) {
            text += key_length + 1;
            *length = line - key_length - 1;
            if (*length >= 2 && text[0] == '\'' && text[*length - 1] == '\'') {
                text++;
                *length -= 2;
            }
            return text;
        }
        text += line + (text[line] == '\n');
    }
    return NULL;
}

static void scaleway_add_keys(struct result *result, const char *text)
{
    for (int i = 0; i < MAX_LISTED; i++) {
        char name[64];
        size_t length;
        snprintf(name, sizeof name, "SSH_PUBLIC_KEYS_%d_KEY", i);
        const char *key = scaleway_value(text, name, &length);
        if (!key)
            return;
        result_key(result, key, length);
    }
}

/* It is only for root: the client's port must be below 1024. */
static void scaleway_add_user_data(struct result *result)
{
    struct failure failure;
    struct http_response response;
    const struct http_request request = {.address = ADDRESS,
                                         .path = "/user_data/cloud-init",
                                         .limit = MAX_USER_DATA,
                                         .timeout = LONG_TIMEOUT,
                                         .privileged = true};
    if (http_send(&request, &response, &failure) < 0) {
        report(NAME ": %s: %s", request.path, failure.text);
    } else if (response.status == 200) {
        result_user_data(result, response.body, response.length);
    } else {
        report_detail(NAME ": %s: status %d", request.path, response.status);
        http_forget(&response);
    }
}

static void scaleway_extract(struct result *result, const char *text)
{
    size_t length;
    const char *value = scaleway_value(text, "HOSTNAME", &length);
    if (value)
        result_hostname(result, value, length);
    for (size_t i = 0; i < sizeof scaleway_values / sizeof *scaleway_values; i++)
        if ((value = scaleway_value(text, scaleway_values[i].key, &length)))
            result_value(result, scaleway_values[i].file, value, length);
    scaleway_add_keys(result, text);
    scaleway_add_user_data(result);
}

bool scaleway_find(const struct search *search, struct result *result)
{
    struct failure failure;
    struct http_response response;
    size_t length;
    const struct http_request request = {
        .address = ADDRESS, .path = "/conf", .limit = MAX_VALUE, .timeout = TIMEOUT};
    (void)search;
    if (http_send(&request, &response, &failure) < 0) {
        if (response.reached)
            report(NAME ": /conf: %s", failure.text);
        else
            report_detail(NAME ": %s", failure.text);
        return false;
    }
    bool found = response.status == 200 && scaleway_value(response.body, "ID", &length) &&
                 result_begin(result, NAME) == 0;
    if (found)
        scaleway_extract(result, response.body);
    http_forget(&response);
    return found;
}
