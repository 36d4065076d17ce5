/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "firebreak/invariants.h"
#include "sys/netlink.h"
#include "sys/netname.h"

/* What takes messages of a dump. */
struct taker {
    struct sight *s;
    char prefix[SIGHT_IFNAME_MAX]; /* of the instance's interfaces */
    const char *set;
    bool failed; /* out of memory */
};

static void copy_text(char *to, size_t cap, const void *from, size_t n)
{
    size_t k = strnlen(from, n);

    k = k < cap ? k : cap - 1;
    memcpy(to, from, k);
    to[k] = '\0';
}

static void take_interface(const struct nlmsghdr *h, void *arg)
{
    struct taker *t = arg;
    struct sight_interface seen = { 0 };
    size_t n, name_n, alias_n;
    const struct ifinfomsg *info = netlink_body(h, &n);

    if (h->nlmsg_type != RTM_NEWLINK || n < sizeof *info)
        return;
    const void *name = netlink_find(info + 1, n - sizeof *info, IFLA_IFNAME, &name_n);
    const void *alias = netlink_find(info + 1, n - sizeof *info, IFLA_IFALIAS, &alias_n);
    if (!name)
        return;
    copy_text(seen.name, sizeof seen.name, name, name_n);
    if (strncmp(seen.name, t->prefix, strlen(t->prefix)) != 0)
        return;
    if (alias)
        copy_text(seen.id, sizeof seen.id, alias, alias_n);
    struct sight_interface *to = SIGHT_ADD(t->s->interface);
    t->failed |= !to;
    if (to)
        *to = seen;
}

static int look_interfaces(struct taker *t)
{
    AUTO_CLOSE int fd = netlink_open(NETLINK_ROUTE);
    struct netlink m;

    if (fd < 0)
        return fd;
    struct ifinfomsg *h = netlink_begin(&m, RTM_GETLINK, NLM_F_DUMP, sizeof *h);
    h->ifi_family = AF_UNSPEC;
    int rc = netlink_dump(fd, &m, 1, take_interface, t);
    return rc == 0 && t->failed ? -ENOMEM : rc;
}

/* The key of an element begins with the sandbox's address; of "src" the interface's name stands before it. */
static void take_key(struct taker *t, const void *key, size_t n)
{
    struct sight_element seen = { .set = t->set };
    size_t name_n = strcmp(t->set, "src") == 0 ? SIGHT_IFNAME_MAX : 0;
    uint32_t addr;

    if (n < name_n + sizeof addr)
        return;
    if (name_n > 0)
        copy_text(seen.interface, sizeof seen.interface, key, name_n);
    memcpy(&addr, (const char *)key + name_n, sizeof addr);
    seen.addr = ntohl(addr);
    struct sight_element *to = SIGHT_ADD(t->s->element);
    t->failed |= !to;
    if (to)
        *to = seen;
}

static void take_elements(const struct nlmsghdr *h, void *arg)
{
    size_t n, list_n, one_n, key_n, value_n;
    const char *body = netlink_body(h, &n);
    uint16_t type;

    if (h->nlmsg_type != (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWSETELEM) ||
        n < sizeof(struct nfgenmsg))
        return;
    const void *list = netlink_find(body + sizeof(struct nfgenmsg), n - sizeof(struct nfgenmsg),
                                    NFTA_SET_ELEM_LIST_ELEMENTS, &list_n);
    for (const void *one; list && (one = netlink_next(&list, &list_n, &type, &one_n));) {
        const void *key = netlink_find(one, one_n, NFTA_SET_ELEM_KEY, &key_n);
        const void *value = key ? netlink_find(key, key_n, NFTA_DATA_VALUE, &value_n) : NULL;
        if (value)
            take_key(arg, value, value_n);
    }
}

/* -ENOENT if there is no such table or set. */
static int look_set(struct taker *t, int fd, const char *table, uint32_t sequence)
{
    struct netlink m;
    struct nfgenmsg *h = netlink_begin(&m, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETSETELEM,
                                       NLM_F_DUMP, sizeof *h);

    h->nfgen_family = NFPROTO_INET;
    h->version = NFNETLINK_V0;
    netlink_put_text(&m, NFTA_SET_ELEM_LIST_TABLE, table);
    netlink_put_text(&m, NFTA_SET_ELEM_LIST_SET, t->set);
    int rc = netlink_dump(fd, &m, sequence, take_elements, t);
    return rc == 0 && t->failed ? -ENOMEM : rc;
}

int sight_network(struct sight *s, const struct place *p, struct err *e)
{
    /* Those that netd fills (src/netd/table.c); the kernel fills the rest, from packets. */
    static const char *const set[] = { "src", "down", "open", "pin_any", "pin_port" };
    struct taker t = { .s = s };
    struct netname name;

    netname_of(p->instance, &name);
    (void)snprintf(t.prefix, sizeof t.prefix, NETNAME_PREFIX "%s.", name.tag);
    int rc = look_interfaces(&t);
    if (rc < 0)
        return err_set(e, -rc, "list the interfaces");
    AUTO_CLOSE int fd = netlink_open(NETLINK_NETFILTER);
    if (fd < 0)
        return fd == -EPROTONOSUPPORT ? 0 : err_set(e, -fd, "open a netfilter socket");
    for (uint32_t i = 0; i < ARRAY_LEN(set); i++) {
        t.set = set[i];
        rc = look_set(&t, fd, name.table, i + 1);
        if (rc == -ENOENT || rc == -EOPNOTSUPP || rc == -EINVAL) /* EINVAL: no nftables */
            return 0;
        if (rc < 0)
            return err_set(e, -rc, "list the set %s of the table %s", set[i], name.table);
        s->has_table = true;
    }
    return 0;
}
