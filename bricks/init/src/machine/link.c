/* link.c: see link.h. */
#include "machine/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A request under construction; attributes follow the header (netlink(7), 4-byte aligned). */
struct link_request {
    struct nlmsghdr header;
    char body[1024];
};

static size_t link_aligned(size_t length)
{
    return (length + 3) & ~(size_t)3;
}

/*
 * Room for `length` bytes at the end of the message, zeroed; every caller's sum is far below the
 * body's size.
 */
static void *link_append(struct link_request *request, size_t length)
{
    void *place = (char *)request + request->header.nlmsg_len;
    memset(place, 0, link_aligned(length));
    request->header.nlmsg_len += (uint32_t)link_aligned(length);
    return place;
}

static struct rtattr *link_attribute(struct link_request *request, unsigned type, const void *data,
                                     size_t length)
{
    struct rtattr *made = link_append(request, sizeof *made + length);
    made->rta_type = (unsigned short)type;
    made->rta_len = (unsigned short)(sizeof *made + length);
    if (length > 0)
        memcpy(made + 1, data, length);
    return made;
}

/* Ends an attribute that holds what was appended since. */
static void link_close_nested(struct link_request *request, struct rtattr *nested)
{
    nested->rta_len =
        (unsigned short)((char *)request + request->header.nlmsg_len - (char *)nested);
}

static void link_begin(struct link_request *request, int type, int flags)
{
    request->header =
        (struct nlmsghdr){.nlmsg_len = sizeof request->header,
                          .nlmsg_type = (uint16_t)type,
                          .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags)};
}

/* Sends a request and takes the kernel's answer: 0, or -1 with errno. */
static int link_ask(struct link_request *request)
{
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[1024];
    } answer = {0};
    int channel = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (channel < 0)
        return -1;
    ssize_t length = sendto(channel, request, request->header.nlmsg_len, 0,
                            (struct sockaddr *)&kernel, sizeof kernel);
    if (length > 0)
        length = recv(channel, &answer, sizeof answer, 0);
    int reason = errno;
    close(channel);
    errno = reason;
    if (length < 0)
        return -1;
    if ((size_t)length < sizeof answer.header + sizeof answer.error ||
        answer.header.nlmsg_type != NLMSG_ERROR) {
        errno = EPROTO;
        return -1;
    }
    errno = -answer.error.error;
    return answer.error.error == 0 ? 0 : -1;
}

static int link_name_attribute(struct link_request *request, const char *name,
                               struct failure *failure)
{
    size_t length = strlen(name);
    if (length == 0 || length >= IFNAMSIZ)
        return failed(failure, "interface %s: a name must have 1 to %d bytes", name, IFNAMSIZ - 1);
    link_attribute(request, IFLA_IFNAME, name, length + 1);
    return 0;
}

int link_loopback(struct failure *failure)
{
    enum { LOOPBACK_INDEX = 1 }; /* the kernel's first interface in every namespace */
    const uint32_t address = htonl(INADDR_LOOPBACK);
    struct link_request request;
    link_begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
    struct ifaddrmsg *assigned = link_append(&request, sizeof *assigned);
    *assigned = (struct ifaddrmsg){.ifa_family = AF_INET,
                                   .ifa_prefixlen = 8,
                                   .ifa_scope = RT_SCOPE_HOST,
                                   .ifa_index = LOOPBACK_INDEX};
    link_attribute(&request, IFA_LOCAL, &address, sizeof address);
    if (link_ask(&request) < 0 && errno != EEXIST)
        return failed_errno(failure, "loopback: address");
    link_begin(&request, RTM_NEWLINK, 0);
    struct ifinfomsg *link = link_append(&request, sizeof *link);
    *link =
        (struct ifinfomsg){.ifi_index = LOOPBACK_INDEX, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    return link_ask(&request) < 0 ? failed_errno(failure, "loopback: up") : 0;
}

/* Makes an interface, in the network namespace of `pid` unless that is 0. */
static int link_create(const char *name, const char *type, const char *peer, pid_t pid,
                       struct failure *failure)
{
    struct link_request request;
    link_begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
    link_append(&request, sizeof(struct ifinfomsg));
    if (link_name_attribute(&request, name, failure) < 0)
        return -1;
    if (pid != 0)
        link_attribute(&request, IFLA_NET_NS_PID, &(uint32_t){(uint32_t)pid}, sizeof(uint32_t));
    size_t type_length = strlen(type);
    if (type_length >= IFNAMSIZ)
        return failed(failure, "interface %s: no link type %s", name, type);
    struct rtattr *information = link_attribute(&request, IFLA_LINKINFO, NULL, 0);
    link_attribute(&request, IFLA_INFO_KIND, type, type_length);
    if (*peer) {
        struct rtattr *data = link_attribute(&request, IFLA_INFO_DATA, NULL, 0);
        struct rtattr *other = link_attribute(&request, VETH_INFO_PEER, NULL, 0);
        link_append(&request, sizeof(struct ifinfomsg));
        if (link_name_attribute(&request, peer, failure) < 0)
            return -1;
        link_close_nested(&request, other);
        link_close_nested(&request, data);
    }
    link_close_nested(&request, information);
    return link_ask(&request) < 0
               ? failed_errno(failure, "interface %s: cannot create a %s", name, type)
               : 0;
}

static int link_move(const char *name, pid_t pid, struct failure *failure)
{
    struct link_request request;
    link_begin(&request, RTM_NEWLINK, 0);
    link_append(&request, sizeof(struct ifinfomsg));
    if (link_name_attribute(&request, name, failure) < 0)
        return -1;
    link_attribute(&request, IFLA_NET_NS_PID, &(uint32_t){(uint32_t)pid}, sizeof(uint32_t));
    return link_ask(&request) < 0 ? failed_errno(failure, "interface %s: cannot move it", name) : 0;
}

int link_interface(const char *const argument[], pid_t pid, struct failure *failure)
{
    const char *name = argument[0], *type = argument[1], *peer = argument[2];
    bool veth = strcmp(type, "veth") == 0;
    if (veth != (*peer != '\0'))
        return failed(failure, "interface %s: only a veth has a peer, and always", name);
    if (!*type)
        return link_move(name, pid, failure);
    /*
     * The peer of a veth stays outside, and so does the socket of a wireguard made in the root
     * namespace.
     */
    if (!veth && strcmp(argument[3], "root") != 0)
        return link_create(name, type, peer, pid, failure);
    return link_create(name, type, peer, 0, failure) < 0 ? -1 : link_move(name, pid, failure);
}
