/* netlink.h: requests to the kernel's routing sockets, rtnetlink(7). */
#ifndef COMPOS_NETLINK_H
#define COMPOS_NETLINK_H

#include "base/failure.h"

#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>

struct netlink {
    int socket;
    unsigned sequence;
};

/* A message in the making. */
struct netlink_message {
    _Alignas(struct nlmsghdr) char bytes[2048];
    bool full;
};

int netlink_open(struct netlink *netlink, struct failure *failure);
void netlink_close(struct netlink *netlink);

/* `body` is what follows the header: a struct ifinfomsg, ifaddrmsg or rtmsg. */
void netlink_begin(struct netlink_message *message, unsigned short type, unsigned short flags,
                   const void *body, size_t size);
void netlink_add(struct netlink_message *message, unsigned short type, const void *bytes,
                 size_t size);
void netlink_add_number(struct netlink_message *message, unsigned short type, unsigned value);

/* An attribute with others in it: those that are added until `netlink_end`. */
size_t netlink_nest(struct netlink_message *message, unsigned short type);
void netlink_end(struct netlink_message *message, size_t nest);

/* Sends it, and waits for the kernel's answer; -1, with errno's text. */
int netlink_do(struct netlink *netlink, struct netlink_message *message, struct failure *failure);

/* Asks for all links; `each` is called for each. */
int netlink_links(struct netlink *netlink,
                  void (*each)(void *context, const struct ifinfomsg *link,
                               const struct rtattr *attributes, size_t size),
                  void *context, struct failure *failure);

#endif
