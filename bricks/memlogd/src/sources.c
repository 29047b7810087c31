/* sources.c: see sources.h. */
#include "sources.h"

#include "ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct source {
    int file;
    char name[256];
    char *line; /* what has come of the line that is not complete yet */
    size_t length;
    bool begun;
};

static struct source *sources_all;
static size_t sources_count;
static size_t sources_max_line;

int sources_start(size_t max_line)
{
    sources_max_line = max_line;
    sources_all = calloc(MAX_SOURCES, sizeof *sources_all);
    return sources_all ? 0 : -1;
}

static void sources_add(int file, const char *name, size_t length)
{
    struct source source = {.file = file};
    snprintf(source.name, sizeof source.name, "%.*s", (int)length, name);
    /* One that says it is ready and is not must not stop the others. */
    if (sources_count < MAX_SOURCES && fcntl(file, F_SETFL, O_NONBLOCK) == 0 &&
        (source.line = malloc(sources_max_line)) != NULL) {
        sources_all[sources_count++] = source;
        return;
    }
    fprintf(stderr, "memlogd: %s: no room for another source\n", source.name);
    close(file);
}

void sources_accept(int log_socket)
{
    enum { DESCRIPTORS = 8 };
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
    } control;
    char name[256];
    struct iovec payload = {name, sizeof name - 1};
    struct msghdr message = {.msg_iov = &payload,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    ssize_t length = recvmsg(log_socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (length < 0)
        return;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
        int file;
        memcpy(&file, CMSG_DATA(header) + i * sizeof file, sizeof file);
        sources_add(file, name, (size_t)length);
    }
}

size_t sources_poll(struct pollfd *polled)
{
    for (size_t i = 0; i < sources_count; i++)
        polled[i] = (struct pollfd){.fd = sources_all[i].file, .events = POLLIN};
    return sources_count;
}

static void sources_end_line(struct source *source)
{
    ring_add(source->name, source->line, source->length);
    source->length = 0;
    source->begun = false;
}

static void sources_take(struct source *source, const char *bytes, size_t count)
{
    while (count > 0) {
        const char *end = memchr(bytes, '\n', count);
        size_t part = end ? (size_t)(end - bytes) : count;
        size_t room = sources_max_line - source->length;
        size_t kept = part < room ? part : room;
        memcpy(source->line + source->length, bytes, kept);
        source->length += kept;
        source->begun = true;
        if (end)
            sources_end_line(source);
        part += end ? 1 : 0;
        bytes += part;
        count -= part;
    }
}

/* One block of one source at a time, so that all have their turn. Whether it goes on. */
static bool sources_read_one(struct source *source)
{
    char bytes[16384];
    ssize_t count = read(source->file, bytes, sizeof bytes);
    if (count < 0)
        return errno == EAGAIN || errno == EINTR;
    sources_take(source, bytes, (size_t)count);
    return count > 0;
}

void sources_read(const struct pollfd *polled, size_t count)
{
    /* From the last: one that has ended is replaced by one that has had its turn, or is new. */
    for (size_t i = count; i-- > 0;) {
        struct source *source = &sources_all[i];
        if (!polled[i].revents || sources_read_one(source))
            continue;
        if (source->begun)
            sources_end_line(source);
        free(source->line);
        close(source->file);
        *source = sources_all[--sources_count];
    }
}
