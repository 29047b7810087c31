/*
 * memlogd.c: -daemonize: the logging daemon that LinuxKit's init images bring, as far as its protocol goes. It binds its
 * sockets, starts itself again with them as 3 and 4, and returns. Each message to the first brings a source's name and a
 * descriptor, which is read line by line to its end, and closed; lines are printed as `memlogd SOURCE: LINE`.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LOG = 3, QUERY = 4, SOURCES = 64, LINE = 1024 };

struct source {
    char name[128];
    char line[LINE];
    size_t length;
};

static struct source sources[SOURCES];
static struct pollfd files[SOURCES + 1];
static nfds_t count = 1;

static int bound(int type, const char *path, int as)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    int made = socket(AF_UNIX, type, 0);
    if (made < 0 || bind(made, (struct sockaddr *)&address, sizeof address) < 0)
        return -1;
    if (type == SOCK_STREAM && listen(made, 8) < 0)
        return -1;
    return made == as ? made : dup2(made, as);
}

static int daemonize(void)
{
    if (bound(SOCK_DGRAM, "/var/run/linuxkit-external-logging.sock", LOG) < 0 ||
        bound(SOCK_STREAM, "/var/run/memlogdq.sock", QUERY) < 0) {
        perror("memlogd");
        return 1;
    }
    if (fork() == 0) {
        setsid();
        execl("/proc/self/exe", "memlogd", "-fd-log", "3", "-fd-query", "4", NULL);
        _exit(127);
    }
    puts("memlogd listens");
    return 0;
}

static void accept_source(void)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct source *source = &sources[count - 1];
    struct iovec payload = {source->name, sizeof source->name - 1};
    struct msghdr message = {
        .msg_iov = &payload, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t length = recvmsg(LOG, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = length < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (!header || header->cmsg_type != SCM_RIGHTS)
        return;
    source->name[length] = '\0';
    source->length = 0;
    files[count].events = POLLIN;
    memcpy(&files[count].fd, CMSG_DATA(header), sizeof(int));
    count++;
}

/* Reads what there is. Whether it was the end. */
static int read_source(struct source *source, int file)
{
    char bytes[4096];
    ssize_t got = read(file, bytes, sizeof bytes);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    for (ssize_t i = 0; i < got; i++)
        if (bytes[i] == '\n') {
            printf("memlogd %s: %.*s\n", source->name, (int)source->length, source->line);
            source->length = 0;
        } else if (source->length < LINE) {
            source->line[source->length++] = bytes[i];
        }
    return got <= 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "-daemonize") == 0)
        return daemonize();
    setlinebuf(stdout);
    files[0] = (struct pollfd){.fd = LOG, .events = POLLIN};
    while (poll(files, count, -1) >= 0 || errno == EINTR) {
        for (nfds_t i = count; i-- > 1;)
            if (files[i].revents && read_source(&sources[i - 1], files[i].fd)) {
                close(files[i].fd);
                count--;
                files[i] = files[count];
                sources[i - 1] = sources[count - 1];
            }
        if (files[0].revents && count <= SOURCES)
            accept_source();
    }
    return 1;
}
