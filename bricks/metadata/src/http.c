/* http.c: see http.h. Sections are those of RFC 9112. */
#include "http.h"

#include "connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { MAX_HEAD = 16384, MAX_REDIRECTS = 3, MAX_INTERIM = 4, BLOCK = 4096 };

/* What has been received and not been used yet. */
struct http_input {
    struct connection connection;
    char bytes[BLOCK];
    size_t at;
    size_t end;
    size_t head; /* bytes of lines so far */
};

struct http_head {
    int status;
    bool chunked;
    bool has_length;
    size_t length;
    char location[1024];
};

/* The next byte, 0 to 255; -1 at the end, which is a failure, too. */
static int http_byte(struct http_input *input, struct failure *failure)
{
    if (input->at == input->end) {
        ssize_t count = connection_read(&input->connection, input->bytes, BLOCK, failure);
        if (count == 0)
            failed(failure, "the response ends in the middle");
        if (count <= 0)
            return -1;
        input->at = 0;
        input->end = (size_t)count;
    }
    return (unsigned char)input->bytes[input->at++];
}

/* 2.2: a line without its end, LF or CR LF. */
static int http_line(struct http_input *input, char *line, size_t size, struct failure *failure)
{
    size_t length = 0;
    for (;;) {
        int byte = http_byte(input, failure);
        if (byte < 0)
            return -1;
        if (byte == '\n')
            break;
        if (byte == '\0' || length == size - 1 || ++input->head > MAX_HEAD)
            return failed(failure, "the response's head is too long, or no text");
        line[length++] = (char)byte;
    }
    if (length > 0 && line[length - 1] == '\r')
        length--;
    line[length] = '\0';
    return 0;
}

/* 4: "HTTP/1.1 200 OK" */
static int http_status_line(struct http_input *input, int *status, struct failure *failure)
{
    char line[1024], after;
    if (http_line(input, line, sizeof line, failure) < 0)
        return -1;
    if (strncmp(line, "HTTP/1.", 7) == 0 && strlen(line) >= 12 &&
        sscanf(line + 8, " %3d%c", status, &after) >= 1 && *status >= 100 && *status <= 599)
        return 0;
    return failed(failure, "this is no HTTP");
}

/* The value, if the line is the header `name`; NULL if it is another one. */
static const char *http_value(const char *line, const char *name)
{
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':')
        return NULL;
    return line + length + 1 + strspn(line + length + 1, " \t");
}

/* Digits alone: what else strtoull knows (signs, spaces) is no length. */
static int http_number(const char *text, const char *digits, int base, size_t *number)
{
    size_t length = strspn(text, digits);
    if (length == 0 || length > 15)
        return -1;
    *number = (size_t)strtoull(text, NULL, base);
    return 0;
}

static int http_header(const char *line, struct http_head *head, struct http_response *response,
                       struct failure *failure)
{
    const char *value;
    if ((value = http_value(line, "Content-Length"))) {
        size_t before = head->length;
        if (http_number(value, "0123456789", 10, &head->length) < 0 ||
            value[strspn(value, "0123456789 \t")] || (head->has_length && before != head->length))
            return failed(failure, "the response's length is invalid");
        head->has_length = true;
    } else if ((value = http_value(line, "Transfer-Encoding"))) {
        if (strcasecmp(value, "chunked") != 0)
            return failed(failure, "the response's encoding is unknown");
        head->chunked = true;
    } else if ((value = http_value(line, "Location"))) {
        snprintf(head->location, sizeof head->location, "%s", value);
    } else if ((value = http_value(line, "Server"))) {
        snprintf(response->server, sizeof response->server, "%s", value);
    } else if ((value = http_value(line, "Metadata-Flavor"))) {
        snprintf(response->metadata_flavor, sizeof response->metadata_flavor, "%s", value);
    }
    return 0;
}

static int http_read_one_head(struct http_input *input, struct http_head *head,
                              struct http_response *response, struct failure *failure)
{
    char line[MAX_HEAD];
    *head = (struct http_head){0};
    if (http_status_line(input, &head->status, failure) < 0)
        return -1;
    for (;;) {
        if (http_line(input, line, sizeof line, failure) < 0)
            return -1;
        if (!*line)
            return 0;
        if (http_header(line, head, response, failure) < 0)
            return -1;
    }
}

/* 15.2 of RFC 9110: interim responses precede the one that counts. */
static int http_read_head(struct http_input *input, struct http_head *head,
                          struct http_response *response, struct failure *failure)
{
    for (int i = 0; i < MAX_INTERIM; i++) {
        if (http_read_one_head(input, head, response, failure) < 0)
            return -1;
        if (head->status >= 200)
            return 0;
    }
    return failed(failure, "the server never comes to its response");
}

/* Appends exactly `count` bytes; with SIZE_MAX, those up to the end. */
static int http_append(struct http_input *input, struct http_response *response, size_t count,
                       size_t limit, struct failure *failure)
{
    bool to_end = count == SIZE_MAX;
    if (!to_end && count > limit - response->length)
        return failed(failure, "the response is longer than %zu bytes", limit);
    while (count > 0) {
        if (input->at == input->end) {
            ssize_t got = connection_read(&input->connection, input->bytes, BLOCK, failure);
            if (got == 0 && !to_end)
                return failed(failure, "the response ends in the middle");
            if (got <= 0)
                return (int)got;
            input->at = 0;
            input->end = (size_t)got;
        }
        size_t part = input->end - input->at < count ? input->end - input->at : count;
        if (part > limit - response->length)
            return failed(failure, "the response is longer than %zu bytes", limit);
        memcpy(response->body + response->length, input->bytes + input->at, part);
        response->length += part;
        input->at += part;
        count -= to_end ? 0 : part;
    }
    return 0;
}

/* 7.1; trailers are left unread. */
static int http_read_chunks(struct http_input *input, struct http_response *response, size_t limit,
                            struct failure *failure)
{
    char line[256];
    for (;;) {
        size_t size;
        input->head = 0;
        if (http_line(input, line, sizeof line, failure) < 0)
            return -1;
        if (http_number(line, "0123456789abcdefABCDEF", 16, &size) < 0)
            return failed(failure, "a chunk's size is invalid");
        if (size == 0)
            return 0;
        if (http_append(input, response, size, limit, failure) < 0 ||
            http_line(input, line, sizeof line, failure) < 0)
            return -1;
        if (*line)
            return failed(failure, "a chunk is longer than it says");
    }
}

static int http_read_body(struct http_input *input, const struct http_head *head,
                          struct http_response *response, size_t limit, struct failure *failure)
{
    response->body = malloc(limit + 1);
    if (!response->body)
        return failed_errno(failure, "a response");
    int read = 0;
    if (head->chunked)
        read = http_read_chunks(input, response, limit, failure);
    else if (head->status != 204 && head->status != 304)
        read = http_append(input, response, head->has_length ? head->length : SIZE_MAX, limit,
                           failure);
    response->body[response->length] = '\0';
    return read;
}

static int http_write_request(const struct connection *connection,
                              const struct http_request *request, const char *path,
                              struct failure *failure)
{
    char head[4096], body_headers[64] = "";
    const char *body = request->body ? request->body : "";
    const char *method = request->method ? request->method : "GET";
    /* A PUT without a body, as for a token of AWS, says so (8.6 of RFC 9110). */
    if (strcmp(method, "GET") != 0)
        snprintf(body_headers, sizeof body_headers, "Content-Length: %zu\r\n", strlen(body));
    int length = snprintf(
        head, sizeof head,
        "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: compos\r\nAccept: */*\r\nConnection: close\r\n"
        "%s%s\r\n",
        method, path, request->host ? request->host : request->address,
        request->headers ? request->headers : "", body_headers);
    if (length < 0 || (size_t)length >= sizeof head)
        return failed(failure, "the request is too long");
    if (connection_write(connection, head, (size_t)length, failure) < 0)
        return -1;
    return connection_write(connection, body, strlen(body), failure);
}

static int http_exchange(const struct http_request *request, const char *path, int64_t deadline,
                         struct http_head *head, struct http_response *response,
                         struct failure *failure)
{
    struct http_input input = {0};
    if (connection_open(&input.connection, request->address, request->privileged, deadline,
                        failure) < 0)
        return -1;
    response->reached = true;
    int done = http_write_request(&input.connection, request, path, failure);
    if (done == 0)
        done = http_read_head(&input, head, response, failure);
    if (done == 0)
        done = http_read_body(&input, head, response, request->limit, failure);
    close(input.connection.socket);
    response->status = head->status;
    return done;
}

/* The path of a redirect on the same server: a metadata service has no reason to name another. */
static int http_redirect(const struct http_request *request, const char *location, char *path,
                         size_t size, struct failure *failure)
{
    char own[256];
    const char *host = request->host ? request->host : request->address;
    int length = snprintf(own, sizeof own, "http://%s", host);
    if (length > 0 && strncasecmp(location, own, (size_t)length) == 0 && location[length] == '/')
        location += length;
    for (const char *byte = location; *byte; byte++)
        if (*byte <= ' ' || *byte > '~')
            return failed(failure, "redirected to what is no address");
    if (location[0] != '/' || location[1] == '/')
        return failed(failure, "redirected elsewhere: %.128s", location);
    snprintf(path, size, "%s", location);
    return 0;
}

int http_send(const struct http_request *request, struct http_response *response,
              struct failure *failure)
{
    int64_t deadline = connection_now() + request->timeout;
    char path[1024];
    snprintf(path, sizeof path, "%s", request->path);
    for (int i = 0; i <= MAX_REDIRECTS; i++) {
        struct http_head head = {0};
        *response = (struct http_response){0};
        int done = http_exchange(request, path, deadline, &head, response, failure);
        if (done == 0 && (head.status < 300 || head.status >= 400 || !head.location[0]))
            return 0;
        http_forget(response);
        if (done < 0 || http_redirect(request, head.location, path, sizeof path, failure) < 0)
            return -1;
    }
    return failed(failure, "redirected more than %d times", MAX_REDIRECTS);
}

void http_forget(struct http_response *response)
{
    free(response->body);
    response->body = NULL;
}
