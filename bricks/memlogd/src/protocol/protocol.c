/* protocol.c: see protocol.h. */
#include "protocol/protocol.h"

#include "json/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int protocol_connect(const char *path, int type, struct failure *failure)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return failed(failure, "%s: the path is too long", path);
    strcpy(address.sun_path, path);
    int made = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (made >= 0 && connect(made, (const struct sockaddr *)&address, sizeof address) == 0)
        return made;
    failed_errno(failure, "%s", path);
    if (made >= 0)
        close(made);
    return -1;
}

int protocol_send_descriptor(int log_socket, const char *source, int descriptor,
                             struct failure *failure)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    char name[256];
    snprintf(name, sizeof name, "%s", source);
    struct iovec payload = {.iov_base = name, .iov_len = strlen(name)};
    struct msghdr message = {.msg_iov = &payload,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
    if (sendmsg(log_socket, &message, MSG_NOSIGNAL) < 0)
        return failed_errno(failure, "%s", source);
    return 0;
}

/* What stands behind the last whole line stays in the buffer. */
struct protocol_buffer {
    char *bytes;
    size_t length;
};

static int protocol_use_line(char *text, size_t length,
                             int (*use)(const struct log_line *line, void *context,
                                        struct failure *failure),
                             void *context, struct failure *failure)
{
    struct json *root = json_parse(text, length, failure);
    const struct json *time = json_string(root, "time");
    const struct json *source = json_string(root, "source");
    const struct json *message = json_string(root, "msg");
    int done;
    if (time && source && message) {
        const struct log_line line = {time->text, source->text, message->text, message->length};
        done = use(&line, context, failure);
    } else {
        done = failed(failure, "memlogd sent what is no line of a log");
    }
    json_free(root);
    return done;
}

/* 1: there may be more; 0: the end; -1. */
static int protocol_read_some(int stream, struct protocol_buffer *buffer,
                              int (*use)(const struct log_line *line, void *context,
                                         struct failure *failure),
                              void *context, struct failure *failure)
{
    if (buffer->length == MAX_RESPONSE_LINE)
        return failed(failure, "memlogd sent a line without an end");
    ssize_t count =
        read(stream, buffer->bytes + buffer->length, MAX_RESPONSE_LINE - buffer->length);
    if (count < 0 && errno == EINTR)
        return 1;
    if (count < 0)
        return failed_errno(failure, "memlogd");
    char *begin = buffer->bytes;
    char *end = begin + buffer->length + count;
    for (char *line; (line = memchr(begin, '\n', (size_t)(end - begin))); begin = line + 1)
        if (protocol_use_line(begin, (size_t)(line - begin), use, context, failure) < 0)
            return -1;
    buffer->length = (size_t)(end - begin);
    memmove(buffer->bytes, begin, buffer->length);
    return count > 0;
}

int protocol_query(const char *path, enum query query,
                   int (*use)(const struct log_line *line, void *context, struct failure *failure),
                   void *context, struct failure *failure)
{
    const char request = (char)query;
    struct protocol_buffer buffer = {.bytes = malloc(MAX_RESPONSE_LINE)};
    int stream = protocol_connect(path, SOCK_STREAM, failure);
    int more = stream < 0 ? -1 : 1;
    if (more == 1 && (!buffer.bytes || send(stream, &request, 1, MSG_NOSIGNAL) != 1))
        more = failed_errno(failure, "%s", path);
    while (more == 1)
        more = protocol_read_some(stream, &buffer, use, context, failure);
    free(buffer.bytes);
    if (stream >= 0)
        close(stream);
    return more;
}
