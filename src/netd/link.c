/* SPDX-License-Identifier: Apache-2.0 */
/* The pair of interfaces of a sandbox: ours is fbTAG.INDEX, its is eth0 in its namespace. Both
 * ends are point to point, and our address is the same on all of them, so that a sandbox costs
 * one address. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/auto.h"
#include "netd/netd.h"
#include "sys/netlink.h"

#define INSIDE_INDEX 2 /* lo is 1, and nothing else was made there */
#define INSIDE_NAME  "eth0"
/* jailmon has the socket, too, and could read our answers: who does must not make us wait. */
#define SHARED_WAIT_US 200000
#define LINKS_MAX      ((size_t)2 * NETD_BOXES_MAX)

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

int link_open(struct netd *d, struct err *e)
{
    socklen_t n = sizeof d->own_netns;

    d->route_fd = netlink_open(NETLINK_ROUTE);
    if (d->route_fd < 0)
        return err_set(e, -d->route_fd, "open a route socket");
    if (getsockopt(d->route_fd, SOL_SOCKET, SO_NETNS_COOKIE, &d->own_netns, &n) < 0)
        return err_set(e, errno, "read the network namespace's cookie");
    return 0;
}

/* Whoever handed the socket over may have been taken over: what would make us change the host's
 * own network, or speak another protocol, is refused here. */
int link_namespace_of(struct netd *d, int fd)
{
    const struct timeval t = { .tv_usec = SHARED_WAIT_US };
    uint64_t cookie = 0;
    int domain = 0, protocol = 0;
    socklen_t n = sizeof domain, k = sizeof protocol, c = sizeof cookie;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &k) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &c) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) < 0)
        return -errno;
    if (domain != AF_NETLINK || protocol != NETLINK_ROUTE || cookie == d->own_netns)
        return -EPERM;
    int netns = ioctl(fd, SIOCGSKNS);
    return netns < 0 ? -errno : netns;
}

static int call(struct netd *d, int fd, struct netlink *m)
{
    return netlink_call(fd, m, ++d->sequence);
}

static int make_pair(struct netd *d, const struct box *b, int netns_fd)
{
    struct netlink m;

    (void)netlink_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(struct ifinfomsg));
    netlink_put_text(&m, IFLA_IFNAME, b->interface);
    size_t info = netlink_nest(&m, IFLA_LINKINFO);
    netlink_put_text(&m, IFLA_INFO_KIND, "veth");
    size_t data = netlink_nest(&m, IFLA_INFO_DATA);
    size_t peer = netlink_nest(&m, VETH_INFO_PEER);
    struct ifinfomsg *inside = netlink_put_raw(&m, sizeof *inside);
    inside->ifi_index = INSIDE_INDEX;
    netlink_put_text(&m, IFLA_IFNAME, INSIDE_NAME);
    netlink_put_u32(&m, IFLA_NET_NS_FD, (uint32_t)netns_fd);
    netlink_end(&m, peer);
    netlink_end(&m, data);
    netlink_end(&m, info);
    return call(d, d->route_fd, &m);
}

/* No IPv6 address appears by itself. A kernel without IPv6 refuses the question: fine. */
static void no_ipv6(struct netd *d, int fd, int index)
{
    struct netlink m;
    struct ifinfomsg *h = netlink_begin(&m, RTM_SETLINK, 0, sizeof *h);
    const uint8_t none = IN6_ADDR_GEN_MODE_NONE;

    h->ifi_index = index;
    size_t spec = netlink_nest(&m, IFLA_AF_SPEC);
    size_t v6 = netlink_nest(&m, AF_INET6);
    netlink_put(&m, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
    netlink_end(&m, v6);
    netlink_end(&m, spec);
    (void)call(d, fd, &m);
}

static int bring_up(struct netd *d, int fd, int index, const char *alias)
{
    struct netlink m;
    struct ifinfomsg *h = netlink_begin(&m, RTM_SETLINK, 0, sizeof *h);

    h->ifi_index = index;
    h->ifi_flags = IFF_UP;
    h->ifi_change = IFF_UP;
    if (alias)
        netlink_put(&m, IFLA_IFALIAS, alias, strlen(alias));
    return call(d, fd, &m);
}

static int add_address(struct netd *d, int fd, int index, uint32_t own, uint32_t peer)
{
    struct netlink m;
    struct ifaddrmsg *h = netlink_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, sizeof *h);

    h->ifa_family = AF_INET;
    h->ifa_prefixlen = 32;
    h->ifa_scope = RT_SCOPE_UNIVERSE;
    h->ifa_index = (unsigned)index;
    netlink_put_u32(&m, IFA_LOCAL, htonl(own));
    netlink_put_u32(&m, IFA_ADDRESS, htonl(peer));
    return call(d, fd, &m);
}

static int add_default_route(struct netd *d, int fd)
{
    struct netlink m;
    struct rtmsg *h = netlink_begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, sizeof *h);

    h->rtm_family = AF_INET;
    h->rtm_table = RT_TABLE_MAIN;
    h->rtm_protocol = RTPROT_BOOT;
    h->rtm_scope = RT_SCOPE_UNIVERSE;
    h->rtm_type = RTN_UNICAST;
    netlink_put_u32(&m, RTA_GATEWAY, htonl(d->gateway));
    netlink_put_u32(&m, RTA_OIF, INSIDE_INDEX);
    return call(d, fd, &m);
}

static int index_of(const char *name)
{
    struct ifreq ifr = { 0 };
    AUTO_CLOSE int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(ifr.ifr_name, sizeof ifr.ifr_name, "%s", name);
    return s < 0 || ioctl(s, SIOCGIFINDEX, &ifr) < 0 ? -errno : ifr.ifr_ifindex;
}

int link_make(struct netd *d, const struct box *b, int inside_fd, int netns_fd, struct err *e)
{
    int rc = make_pair(d, b, netns_fd);

    if (rc < 0)
        return err_set(e, -rc, "make the interface pair");
    int outside = index_of(b->interface);
    if (outside < 0)
        return err_set(e, -outside, "find the new interface");
    no_ipv6(d, d->route_fd, outside);
    no_ipv6(d, inside_fd, INSIDE_INDEX);
    if ((rc = bring_up(d, d->route_fd, outside, b->id.text)) < 0 ||
        (rc = add_address(d, d->route_fd, outside, d->gateway, b->addr)) < 0)
        (void)err_set(e, -rc, "set up the host's end");
    else if ((rc = bring_up(d, inside_fd, INSIDE_INDEX, NULL)) < 0 ||
             (rc = add_address(d, inside_fd, INSIDE_INDEX, b->addr, d->gateway)) < 0 ||
             (rc = add_default_route(d, inside_fd)) < 0)
        (void)err_set(e, -rc, "set up the sandbox's end");
    if (rc < 0)
        (void)link_delete(d, outside);
    return rc;
}

struct found {
    int index;
    char name[IFNAMSIZ], id[sizeof(struct sandbox_id)];
};

struct each {
    struct found *found;
    size_t n;
    char prefix[sizeof NETNAME_PREFIX + NETNAME_TAG_N + 1];
};

static void take_link(const struct nlmsghdr *h, void *arg)
{
    struct each *each = arg;
    struct found f = { 0 };
    size_t body_n, name_n = 0, alias_n = 0;
    const struct ifinfomsg *info = netlink_body(h, &body_n);

    if (h->nlmsg_type != RTM_NEWLINK || body_n < sizeof *info || each->n == LINKS_MAX)
        return;
    const void *attributes = info + 1;
    body_n -= sizeof *info;
    const char *text = netlink_find(attributes, body_n, IFLA_IFNAME, &name_n);
    const char *alias = netlink_find(attributes, body_n, IFLA_IFALIAS, &alias_n);
    if (!text || name_n == 0 || name_n > sizeof f.name)
        return;
    memcpy(f.name, text, name_n - 1);
    if (strncmp(f.name, each->prefix, strlen(each->prefix)) != 0)
        return;
    if (alias && alias_n > 0 && alias_n <= sizeof f.id) {
        memcpy(f.id, alias, alias_n);
        f.id[sizeof f.id - 1] = 0;
    }
    f.index = info->ifi_index;
    each->found[each->n++] = f;
}

int link_each(struct netd *d,
              void (*fn)(struct netd *d, int index, const char *name, const char *id),
              struct err *e)
{
    struct netlink m;
    AUTO_FREE struct found *found = calloc(LINKS_MAX, sizeof *found);
    struct each each = { .found = found };

    if (!found)
        return err_set(e, ENOMEM, "list the interfaces");
    (void)snprintf(each.prefix, sizeof each.prefix, NETNAME_PREFIX "%s.", d->name.tag);
    struct ifinfomsg *h = netlink_begin(&m, RTM_GETLINK, NLM_F_DUMP, sizeof *h);
    h->ifi_family = AF_UNSPEC;
    int rc = netlink_dump(d->route_fd, &m, ++d->sequence, take_link, &each);
    if (rc < 0)
        return err_set(e, -rc, "list the interfaces");
    /* Only now: what fn asks the kernel would be answered in the middle of the list. */
    for (size_t i = 0; i < each.n; i++)
        fn(d, found[i].index, found[i].name, found[i].id);
    return 0;
}

int link_delete(struct netd *d, int index)
{
    struct netlink m;
    struct ifinfomsg *h = netlink_begin(&m, RTM_DELLINK, 0, sizeof *h);

    h->ifi_index = index;
    return call(d, d->route_fd, &m);
}
