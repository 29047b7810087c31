/* result.c: see result.h. */
#include "result.h"

#include "config.h"
#include "network/dhcp_client.h"
#include "report.h"
#include "user_data/user_data.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Linux's own limit, of a name without its end. */
enum { MAX_HOST_NAME = 64 };

int result_begin(struct result *result, const char *provider)
{
    struct failure failure;
    snprintf(result->provider, sizeof result->provider, "%s", provider);
    result->folder = config_open(&failure);
    if (result->folder < 0) {
        report("%s", failure.text);
        return -1;
    }
    if (result->allowed.users && accounts_load(&result->accounts, &failure) < 0) {
        report("users: %s", failure.text);
        result->allowed.users = false;
    }
    return 0;
}

static size_t result_trimmed(const char *bytes, size_t length)
{
    while (length > 0 && memchr(" \t\r\n", bytes[length - 1], 4))
        length--;
    return length;
}

static int result_write(struct result *result, const char *name, const char *bytes, size_t length)
{
    struct failure failure;
    int done = config_write(result->folder, name, bytes, length, 0644, &failure);
    if (done < 0)
        report("/run/config: %s", failure.text);
    return done;
}

void result_value(struct result *result, const char *name, const char *bytes, size_t length)
{
    result_write(result, name, bytes, result_trimmed(bytes, length));
}

static bool result_is_hostname(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)bytes[i]) && !memchr("-._", bytes[i], 3))
            return false;
    return length > 0 && bytes[0] != '-' && bytes[0] != '.';
}

void result_hostname(struct result *result, const char *bytes, size_t length)
{
    length = result_trimmed(bytes, length);
    if (length >= sizeof result->hostname || !result_is_hostname(bytes, length)) {
        report("%s: its host name is no host name", result->provider);
        return;
    }
    memcpy(result->hostname, bytes, length);
    result->hostname[length] = '\0';
}

/* Several sources may know one key. */
static bool result_has_key(const struct text *keys, const char *bytes, size_t length)
{
    for (size_t at = 0; at < keys->length;) {
        const char *line = keys->bytes + at;
        size_t line_length = strcspn(line, "\n");
        if (line_length == length && memcmp(line, bytes, length) == 0)
            return true;
        at += line_length + 1;
    }
    return false;
}

void result_add_key(struct text *keys, const char *bytes, size_t length)
{
    length = result_trimmed(bytes, length);
    if (length == 0 || bytes[0] == '#' || keys->length + length + 1 > MAX_KEYS)
        return;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)bytes[i] < ' ' && bytes[i] != '\t')
            return;
    if (result_has_key(keys, bytes, length))
        return;
    text_add(keys, bytes, length);
    text_add(keys, "\n", 1);
}

void result_key(struct result *result, const char *bytes, size_t length)
{
    result_add_key(&result->keys, bytes, length);
}

void result_add_keys(struct text *keys, const char *bytes, size_t length)
{
    while (length > 0) {
        const char *end = memchr(bytes, '\n', length);
        size_t line = end ? (size_t)(end - bytes) : length;
        result_add_key(keys, bytes, line);
        line += end ? 1 : 0;
        bytes += line;
        length -= line;
    }
}

void result_keys(struct result *result, const char *bytes, size_t length)
{
    result_add_keys(&result->keys, bytes, length);
}

void result_user_data(struct result *result, char *bytes, size_t length)
{
    free(result->user_data);
    result->user_data = length > 0 ? bytes : NULL;
    result->user_data_length = length;
    if (length == 0)
        free(bytes);
}

static int result_write_keys(const struct result *result, struct failure *failure)
{
    int folder = config_directory(result->folder, "ssh", failure);
    if (folder < 0)
        return -1;
    int done = config_write(folder, "authorized_keys", result->keys.bytes, result->keys.length,
                            0600, failure);
    if (done == 0)
        return config_close(folder, 0755, failure);
    close(folder);
    return -1;
}

/* A name that is longer than Linux's is known by its first label. */
static void result_set_hostname(const char *name)
{
    size_t length = strlen(name);
    if (length > MAX_HOST_NAME)
        length = strcspn(name, ".");
    if (sethostname(name, length) < 0)
        report("host name %s: %s", name, strerror(errno));
}

static int result_write_all(struct result *result)
{
    struct failure failure;
    struct user_data data;
    int done = 0;
    user_data_open(&data, result);
    user_data_apply(&data, result);
    if (result->hostname[0]) {
        done |= result_write(result, "hostname", result->hostname, strlen(result->hostname));
        result_set_hostname(result->hostname);
    }
    if (result->keys.length > 0 && result_write_keys(result, &failure) < 0) {
        report("/run/config/ssh: %s", failure.text);
        done = -1;
    }
    if (result->allowed.users && accounts_write(&result->accounts, result->folder, &failure) < 0) {
        report("/run/config/users: %s", failure.text);
        done = -1;
    }
    if (result->allowed.network && dhcp_client_write(result, &failure) < 0) {
        report("/run/config/dhcpcd.conf: %s", failure.text);
        done = -1;
    }
    if (result->user_data)
        done |= result_write(result, "userdata", result->user_data, result->user_data_length);
    user_data_write_tree(&data, result);
    user_data_close(&data);
    /* Last: what waits for this file finds the others. */
    if (result->provider[0])
        done |= result_write(result, "provider", result->provider, strlen(result->provider));
    return done;
}

int result_finish(struct result *result)
{
    int done = result_write_all(result);
    close(result->folder);
    text_free(&result->keys);
    accounts_free(&result->accounts);
    text_free(&result->dhcp);
    free(result->user_data);
    return done;
}
