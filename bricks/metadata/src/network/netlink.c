/* netlink.c: see netlink.h. */
#include "network/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER = 32768 };

int netlink_open(struct netlink *netlink, struct failure *failure)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    netlink->sequence = 0;
    netlink->socket = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (netlink->socket < 0)
        return failed_errno(failure, "netlink");
    if (connect(netlink->socket, (const struct sockaddr *)&kernel, sizeof kernel) == 0)
        return 0;
    failed_errno(failure, "netlink");
    close(netlink->socket);
    return -1;
}

void netlink_close(struct netlink *netlink)
{
    close(netlink->socket);
}

static struct nlmsghdr *netlink_header(struct netlink_message *message)
{
    return (struct nlmsghdr *)(void *)message->bytes;
}

static void netlink_append(struct netlink_message *message, const void *bytes, size_t size)
{
    struct nlmsghdr *header = netlink_header(message);
    size_t at = header->nlmsg_len, aligned = NLMSG_ALIGN(size);
    if (aligned > sizeof message->bytes - at) {
        message->full = true;
        return;
    }
    memset(message->bytes + at, 0, aligned);
    if (size > 0)
        memcpy(message->bytes + at, bytes, size);
    header->nlmsg_len += (unsigned)aligned;
}

void netlink_begin(struct netlink_message *message, unsigned short type, unsigned short flags,
                   const void *body, size_t size)
{
    message->full = false;
    *netlink_header(message) = (struct nlmsghdr){
        .nlmsg_len = NLMSG_HDRLEN, .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | flags};
    netlink_append(message, body, size);
}

void netlink_add(struct netlink_message *message, unsigned short type, const void *bytes,
                 size_t size)
{
    const struct rtattr attribute = {.rta_len = (unsigned short)(sizeof attribute + size),
                                     .rta_type = type};
    netlink_append(message, &attribute, sizeof attribute);
    netlink_append(message, bytes, size);
}

void netlink_add_number(struct netlink_message *message, unsigned short type, unsigned value)
{
    netlink_add(message, type, &value, sizeof value);
}

size_t netlink_nest(struct netlink_message *message, unsigned short type)
{
    size_t nest = netlink_header(message)->nlmsg_len;
    netlink_add(message, type, NULL, 0);
    return nest;
}

void netlink_end(struct netlink_message *message, size_t nest)
{
    struct rtattr *attribute = (struct rtattr *)(void *)(message->bytes + nest);
    if (!message->full)
        attribute->rta_len = (unsigned short)(netlink_header(message)->nlmsg_len - nest);
}

static int netlink_send(struct netlink *netlink, struct netlink_message *message,
                        unsigned short flags, struct failure *failure)
{
    struct nlmsghdr *header = netlink_header(message);
    if (message->full)
        return failed(failure, "netlink: too long a message");
    header->nlmsg_flags |= flags;
    header->nlmsg_seq = ++netlink->sequence;
    if (send(netlink->socket, message->bytes, header->nlmsg_len, 0) < 0)
        return failed_errno(failure, "netlink");
    return 0;
}

static ssize_t netlink_receive(const struct netlink *netlink, char *answer, struct failure *failure)
{
    ssize_t size;
    do {
        size = recv(netlink->socket, answer, ANSWER, 0);
    } while (size < 0 && errno == EINTR);
    return size < 0 ? failed_errno(failure, "netlink") : size;
}

/* What an answer says; 0 for success. */
static int netlink_error(const struct nlmsghdr *header, struct failure *failure)
{
    const struct nlmsgerr *answer = NLMSG_DATA(header);
    if (header->nlmsg_len < NLMSG_LENGTH(sizeof *answer) || answer->error == 0)
        return 0;
    errno = -answer->error;
    return failed(failure, "%s", strerror(errno));
}

int netlink_do(struct netlink *netlink, struct netlink_message *message, struct failure *failure)
{
    _Alignas(struct nlmsghdr) char answer[ANSWER];
    if (netlink_send(netlink, message, NLM_F_ACK, failure) < 0)
        return -1;
    for (;;) {
        ssize_t size = netlink_receive(netlink, answer, failure);
        if (size < 0)
            return -1;
        const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)answer;
        if (NLMSG_OK(header, (size_t)size) && header->nlmsg_seq == netlink->sequence &&
            header->nlmsg_type == NLMSG_ERROR)
            return netlink_error(header, failure);
    }
}

int netlink_links(struct netlink *netlink,
                  void (*each)(void *context, const struct ifinfomsg *link,
                               const struct rtattr *attributes, size_t size),
                  void *context, struct failure *failure)
{
    _Alignas(struct nlmsghdr) char answer[ANSWER];
    struct netlink_message message;
    const struct ifinfomsg all = {.ifi_family = AF_UNSPEC};
    netlink_begin(&message, RTM_GETLINK, NLM_F_DUMP, &all, sizeof all);
    if (netlink_send(netlink, &message, 0, failure) < 0)
        return -1;
    for (;;) {
        ssize_t size = netlink_receive(netlink, answer, failure);
        if (size < 0)
            return -1;
        size_t left = (size_t)size;
        const struct nlmsghdr *header = (const struct nlmsghdr *)(const void *)answer;
        for (; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
            if (header->nlmsg_type == NLMSG_DONE)
                return 0;
            if (header->nlmsg_type == NLMSG_ERROR)
                return netlink_error(header, failure);
            const struct ifinfomsg *link = NLMSG_DATA(header);
            if (header->nlmsg_type == RTM_NEWLINK)
                each(context, link, IFLA_RTA(link), IFLA_PAYLOAD(header));
        }
    }
}
