/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel remembers of connections, and what it tells us about those it refused. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netfilter/nfnetlink_log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/ip4.h"
#include "netd/netd.h"
#include "sys/netlink.h"

#define CUT_MAX 8192u /* connections ended in one go; what is left goes with the next */

int flow_open(struct netd *d, struct err *e)
{
    d->flow_fd = netlink_open(NETLINK_NETFILTER);
    return d->flow_fd < 0 ? err_set(e, -d->flow_fd, "open a socket for connections") : 0;
}

struct flow {
    uint32_t src, dst;
    uint16_t sport, dport; /* network order, as they go back */
    uint8_t proto;
};

struct cut {
    struct box *b;
    struct flow *flow;
    size_t n;
    uint64_t now_ns;
    bool all;
};

static bool copy(const void *p, size_t n, uint16_t type, void *out, size_t out_n)
{
    size_t k = 0;
    const void *data = netlink_find(p, n, type, &k);

    if (!data || k != out_n)
        return false;
    memcpy(out, data, out_n);
    return true;
}

static bool read_tuple(const void *p, size_t n, struct flow *f)
{
    size_t ip_n = 0, proto_n = 0;
    const void *ip = netlink_find(p, n, CTA_TUPLE_IP, &ip_n);
    const void *proto = netlink_find(p, n, CTA_TUPLE_PROTO, &proto_n);

    if (!ip || !proto || !copy(ip, ip_n, CTA_IP_V4_SRC, &f->src, sizeof f->src) ||
        !copy(ip, ip_n, CTA_IP_V4_DST, &f->dst, sizeof f->dst) ||
        !copy(proto, proto_n, CTA_PROTO_NUM, &f->proto, sizeof f->proto))
        return false;
    f->src = ntohl(f->src);
    f->dst = ntohl(f->dst);
    return copy(proto, proto_n, CTA_PROTO_SRC_PORT, &f->sport, sizeof f->sport) &&
           copy(proto, proto_n, CTA_PROTO_DST_PORT, &f->dport, sizeof f->dport);
}

/* Names: the pins have been brought up to date before. The proxy looks after its own. */
static bool may_stay(const struct cut *c, const struct flow *f)
{
    uint16_t port = ntohs(f->dport);

    if (c->all)
        return false;
    if (f->dst == NETD_RESOLVER || f->dst == NETD_METADATA)
        return true;
    if (egress_address_allowed(&c->b->policy, f->proto, f->dst, port))
        return true;
    for (size_t i = 0; i < c->b->n_pins; i++)
        if (c->b->pin[i].addr == f->dst && c->b->pin[i].until_ns > c->now_ns &&
            egress_name_allowed(&c->b->policy, c->b->pin[i].name, f->proto, port))
            return true;
    return false;
}

static void take_flow(const struct nlmsghdr *h, void *arg)
{
    struct cut *c = arg;
    struct flow f = { 0 };
    size_t head = NLMSG_LENGTH(sizeof(struct nfgenmsg)), n = 0;

    if (h->nlmsg_len < head)
        return;
    const void *tuple =
        netlink_find((const char *)h + head, h->nlmsg_len - head, CTA_TUPLE_ORIG, &n);
    if (tuple && read_tuple(tuple, n, &f) && f.src == c->b->addr && !may_stay(c, &f) &&
        c->n < CUT_MAX)
        c->flow[c->n++] = f;
}

static void end_flow(struct netd *d, const struct flow *f)
{
    struct netlink m;
    struct nfgenmsg *h =
        netlink_begin(&m, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE, 0, sizeof *h);

    h->nfgen_family = AF_INET;
    size_t tuple = netlink_nest(&m, CTA_TUPLE_ORIG | NLA_F_NESTED);
    size_t ip = netlink_nest(&m, CTA_TUPLE_IP | NLA_F_NESTED);
    netlink_put_u32(&m, CTA_IP_V4_SRC, htonl(f->src));
    netlink_put_u32(&m, CTA_IP_V4_DST, htonl(f->dst));
    netlink_end(&m, ip);
    size_t proto = netlink_nest(&m, CTA_TUPLE_PROTO | NLA_F_NESTED);
    netlink_put(&m, CTA_PROTO_NUM, &f->proto, sizeof f->proto);
    netlink_put(&m, CTA_PROTO_SRC_PORT, &f->sport, sizeof f->sport);
    netlink_put(&m, CTA_PROTO_DST_PORT, &f->dport, sizeof f->dport);
    netlink_end(&m, proto);
    netlink_end(&m, tuple);
    (void)netlink_call(d->flow_fd, &m, ++d->sequence); /* it may have ended by itself */
}

void flow_cut(struct netd *d, struct box *b, bool all)
{
    struct netlink m;
    AUTO_FREE struct flow *flow = calloc(CUT_MAX, sizeof *flow);
    struct cut c = { .b = b, .flow = flow, .now_ns = clock_mono_ns(), .all = all };

    if (!flow) {
        log_error("flows_not_cut", "sandbox=%s err=\"out of memory\"", b->id.text);
        return;
    }
    struct nfgenmsg *h = netlink_begin(&m, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET,
                                       NLM_F_DUMP, sizeof *h);
    h->nfgen_family = AF_INET;
    int rc = netlink_dump(d->flow_fd, &m, ++d->sequence, take_flow, &c);
    if (rc < 0)
        log_error("flows_not_cut", "sandbox=%s err=%d", b->id.text, -rc);
    for (size_t i = 0; i < c.n; i++)
        end_flow(d, &flow[i]);
}

/* --- refusals --- */

static enum netd_why why_of(const char *word, size_t n)
{
    for (int why = 0; why < NETD_WHY_MAX; why++)
        if (strlen(netd_why_text((enum netd_why)why)) == n &&
            memcmp(netd_why_text((enum netd_why)why), word, n) == 0)
            return (enum netd_why)why;
    return NETD_WHY_MAX;
}

/* The packet is the sandbox's: hostile bytes, read by ip4_read. */
static void on_packet(struct netd *d, const struct nlmsghdr *h)
{
    size_t head = NLMSG_LENGTH(sizeof(struct nfgenmsg)), prefix_n = 0, payload_n = 0;
    struct ip4_flow f = { 0 };

    if (h->nlmsg_len < head)
        return;
    const char *p = (const char *)h + head;
    const char *prefix = netlink_find(p, h->nlmsg_len - head, NFULA_PREFIX, &prefix_n);
    const void *payload = netlink_find(p, h->nlmsg_len - head, NFULA_PAYLOAD, &payload_n);
    if (!prefix || prefix_n == 0 || !payload || ip4_read(payload, payload_n, &f) < 0)
        return;
    enum netd_why why = why_of(prefix, prefix_n - 1);
    struct box *b = box_by_addr(d, f.src);
    if (!b || why == NETD_WHY_MAX)
        return;
    box_denied(d, b, why, f.dst, f.dport, f.proto, NULL);
    b->denied[why]--; /* the kernel has counted it, and those that it told nobody of */
}

static void on_log(struct netd *d, struct watch *w, uint32_t events)
{
    _Alignas(8) char bytes[16384];
    ssize_t got = recv(w->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    const char *p = bytes;

    (void)events;
    while (got >= (ssize_t)sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)p;
        if (h->nlmsg_len < sizeof *h || h->nlmsg_len > (size_t)got)
            return;
        if (h->nlmsg_type == (NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_PACKET))
            on_packet(d, h);
        size_t step = NLMSG_ALIGN(h->nlmsg_len);
        p += step;
        got -= (ssize_t)step;
    }
}

static int configure(struct netd *d, int fd, uint16_t type, const void *data, size_t n)
{
    struct netlink m;
    struct nfgenmsg *h =
        netlink_begin(&m, NFNL_SUBSYS_ULOG << 8 | NFULNL_MSG_CONFIG, 0, sizeof *h);

    h->res_id = htons(d->log_group);
    netlink_put(&m, type, data, n);
    return netlink_call(fd, &m, ++d->sequence);
}

int log_open(struct netd *d, struct err *e)
{
    const struct nfulnl_msg_config_cmd bind = { .command = NFULNL_CFG_CMD_BIND };
    const struct nfulnl_msg_config_mode mode = { .copy_mode = NFULNL_COPY_PACKET,
                                                 .copy_range = htonl(64) };
    const uint32_t one = htonl(1);
    int fd = netlink_open(NETLINK_NETFILTER);

    if (fd < 0)
        return err_set(e, -fd, "open a socket for refusals");
    d->log = (struct watch){ .fd = fd, .ready = on_log };
    int rc = configure(d, fd, NFULA_CFG_CMD, &bind, sizeof bind);
    if (rc == 0)
        rc = configure(d, fd, NFULA_CFG_MODE, &mode, sizeof mode);
    if (rc ==
        0) /* each by itself: who is told a second later cannot ask the sandbox any more */
        rc = configure(d, fd, NFULA_CFG_QTHRESH, &one, sizeof one);
    if (rc < 0)
        return err_set(e, -rc, "be told of refusals (log group %u)", d->log_group);
    return 0;
}

/* --- somebody else's hands on our table --- */

/* Told of every change, ours as well: only the end of a table is of interest, and whether it was ours is seen by looking. */
static void on_guard(struct netd *d, struct watch *w, uint32_t events)
{
    _Alignas(8) char bytes[16384];
    ssize_t got = recv(w->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    const char *p = bytes;
    struct err e;
    bool look = got < 0 && errno == ENOBUFS; /* something was missed */

    (void)events;
    while (got >= (ssize_t)sizeof(struct nlmsghdr)) {
        const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)p;
        if (h->nlmsg_len < sizeof *h || h->nlmsg_len > (size_t)got)
            break;
        look = look || h->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE);
        size_t step = NLMSG_ALIGN(h->nlmsg_len);
        p += step;
        got -= (ssize_t)step;
    }
    if (look && table_lease(d, &e) < 0)
        serve_restore_table(d);
}

int guard_open(struct netd *d, struct err *e)
{
    const int group = NFNLGRP_NFTABLES;
    int fd = netlink_open(NETLINK_NETFILTER);

    if (fd < 0)
        return err_set(e, -fd, "open a socket for changes of tables");
    d->guard = (struct watch){ .fd = fd, .ready = on_guard };
    return setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) < 0
               ? err_set(e, errno, "be told of changes of tables")
               : 0;
}
