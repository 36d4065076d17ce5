// SPDX-License-Identifier: Apache-2.0
// attack: make an interface, an address and a route by the one netlink that is open
// outside: unshare --net
// control: got through to a link
// inside: refused EPERM
#include "probe.h"
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

int main(void)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg link;
        struct rtattr name;
        char text[8];
    } ask = { .head = { .nlmsg_len = sizeof ask,
                        .nlmsg_type = RTM_SETLINK,
                        .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
                        .nlmsg_seq = 1 },
              .link = { .ifi_family = AF_UNSPEC, .ifi_index = 1, .ifi_change = 0 },
              .name = { .rta_len = RTA_LENGTH(8), .rta_type = IFLA_IFALIAS },
              .text = "mine" };
    union {
        struct nlmsghdr head;
        char bytes[4096];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    must(fd >= 0, "open a netlink socket for routes");
    here();
    must(send(fd, &ask, sizeof ask, 0) == sizeof ask, "ask");
    ssize_t n = recv(fd, &answer, sizeof answer, 0);
    must(n >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)), "get an answer");
    const struct nlmsgerr *e = NLMSG_DATA(&answer.head);
    errno = -e->error;
    return e->error == 0 ? say("got through to a link") : outcome(-1);
}
