/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/egress.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/auto.h"
#include "base/num.h"

#define PORT_MAX 65535u

/* RFC 6890 and its registry, RFC 5771, RFC 1112. 198.18.0.0/15 holds the sandboxes themselves. */
static const struct egress_range special[] = {
    { 0x00000000u, 8 },  /* 0.0.0.0/8 */
    { 0x0a000000u, 8 },  /* 10.0.0.0/8 */
    { 0x64400000u, 10 }, /* 100.64.0.0/10 */
    { 0x7f000000u, 8 },  /* 127.0.0.0/8 */
    { 0xa9fe0000u, 16 }, /* 169.254.0.0/16 */
    { 0xac100000u, 12 }, /* 172.16.0.0/12 */
    { 0xc0000000u, 24 }, /* 192.0.0.0/24 */
    { 0xc0000200u, 24 }, /* 192.0.2.0/24 */
    { 0xc0586300u, 24 }, /* 192.88.99.0/24 */
    { 0xc0a80000u, 16 }, /* 192.168.0.0/16 */
    { 0xc6120000u, 15 }, /* 198.18.0.0/15 */
    { 0xc6336400u, 24 }, /* 198.51.100.0/24 */
    { 0xcb007100u, 24 }, /* 203.0.113.0/24 */
    { 0xe0000000u, 4 },  /* 224.0.0.0/4 */
    { 0xf0000000u, 4 },  /* 240.0.0.0/4 */
};

static uint32_t mask_of(uint8_t prefix)
{
    return prefix == 0 ? 0 : ~UINT32_C(0) << (32 - prefix);
}

static bool in_range(uint32_t addr, uint32_t base, uint8_t prefix)
{
    return (addr & mask_of(prefix)) == base;
}

const struct egress_range *egress_special_ranges(size_t *n)
{
    *n = ARRAY_LEN(special);
    return special;
}

bool egress_is_special(uint32_t addr)
{
    for (size_t i = 0; i < ARRAY_LEN(special); i++)
        if (in_range(addr, special[i].addr, special[i].prefix))
            return true;
    return false;
}

/* --- names --- */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool is_label(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_name_char(s.p[i]))
            return false;
    return s.n > 0 && s.n <= 63 && s.p[0] != '-' && s.p[s.n - 1] != '-';
}

/* Is the last label digits only? Then some resolver or library would take the whole for an
 * address ("127.1", "0x7f.1" has a letter but its last label is a number, too). */
static bool ends_in_number(struct str label)
{
    for (size_t i = 0; i < label.n; i++)
        if (label.p[i] < '0' || label.p[i] > '9')
            return false;
    return true;
}

int egress_name_normalise(struct str text, char out[EGRESS_NAME_MAX + 1])
{
    char name[EGRESS_NAME_MAX + 2];
    struct str label, rest;
    size_t labels = 0;

    if (text.n > 0 && text.p[text.n - 1] == '.')
        text.n--;
    if (text.n == 0 || text.n > EGRESS_NAME_MAX || str_copy(text, name, sizeof name) < 0)
        return -EINVAL;
    for (char *c = name; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 32);
    rest = str_from(name);
    do {
        bool more = str_cut(rest, '.', &label, &rest);
        if (!is_label(label))
            return -EINVAL;
        labels++;
        if (!more)
            break;
    } while (true);
    if (labels < 2 || ends_in_number(label))
        return -EINVAL;
    memcpy(out, name, text.n + 1);
    return 0;
}

static bool name_matches(const struct egress_rule *r, const char *name)
{
    size_t n = strlen(name), k = strlen(r->name);

    if (r->kind == EGRESS_NAME)
        return strcmp(r->name, name) == 0;
    return r->kind == EGRESS_SUFFIX && n > k + 1 && name[n - k - 1] == '.' &&
           strcmp(name + n - k, r->name) == 0;
}

/* --- one entry from text --- */

static int parse_ports(struct str text, struct egress_rule *r)
{
    struct str first, last;
    uint64_t a, b;

    bool is_range = str_cut(text, '-', &first, &last);
    if (num_parse_u64(first, 1, PORT_MAX, &a) < 0)
        return -EINVAL;
    b = a;
    if (is_range && num_parse_u64(last, a, PORT_MAX, &b) < 0)
        return -EINVAL;
    r->port_first = (uint16_t)a;
    r->port_last = (uint16_t)b;
    return 0;
}

/* 0, -ENOENT if the text has not the form of an address, -EINVAL. */
static int parse_cidr(struct str text, struct egress_rule *r)
{
    char addr[INET_ADDRSTRLEN];
    struct str host, prefix;
    struct in_addr in;
    uint64_t bits = 32;
    bool has_prefix = str_cut(text, '/', &host, &prefix);

    if (str_copy(host, addr, sizeof addr) < 0 || inet_pton(AF_INET, addr, &in) != 1)
        return has_prefix ? -EINVAL : -ENOENT;
    if (has_prefix && num_parse_u64(prefix, 0, 32, &bits) < 0)
        return -EINVAL;
    r->kind = EGRESS_CIDR;
    r->prefix = (uint8_t)bits;
    r->addr = ntohl(in.s_addr) & mask_of(r->prefix);
    return 0;
}

static int parse_name(struct str text, struct egress_rule *r, struct err *e)
{
    char name[EGRESS_NAME_MAX + 1];

    r->kind = str_starts(text, STR("*.")) ? EGRESS_SUFFIX : EGRESS_NAME;
    if (r->kind == EGRESS_SUFFIX)
        text = str_sub(text, 2, text.n);
    if (egress_name_normalise(text, name) < 0)
        return err_say(e, EINVAL,
                       "is neither an IPv4 address, nor a CIDR such as 1.2.3.0/24, nor a "
                       "domain such as example.com or *.example.com");
    memcpy(r->name, name, strlen(name) + 1);
    if (r->port_first != r->port_last && !(r->port_first == 0 && r->port_last == PORT_MAX))
        return err_say(e, EINVAL, "may limit a domain to one port only");
    return 0;
}

/* Does a special range hold all of it? */
static bool is_special_rule(const struct egress_rule *r)
{
    for (size_t i = 0; i < ARRAY_LEN(special); i++)
        if (r->prefix >= special[i].prefix &&
            in_range(r->addr, special[i].addr, special[i].prefix))
            return true;
    return false;
}

static int check_address_rule(const struct egress_rule *r, struct err *e)
{
    if (r->allow && is_special_rule(r))
        return err_say(e, EINVAL,
                       "lies in a range that no sandbox may reach (private, local, metadata, "
                       "multicast or reserved addresses)");
    return 0;
}

static size_t count(struct str s, char c)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == c;
    return n;
}

int egress_rule_parse(struct str text, bool allow, struct egress_rule *out, struct err *e)
{
    struct egress_rule r = { .allow = allow, .port_last = PORT_MAX };
    struct str target, ports;

    if (str_starts(text, STR("tcp:")))
        r.proto = EGRESS_TCP;
    else if (str_starts(text, STR("udp:")))
        r.proto = EGRESS_UDP;
    if (r.proto != 0)
        text = str_sub(text, 4, text.n);
    if (count(text, ':') > 1 || str_starts(text, STR("[")))
        return err_say(e, EINVAL, "is IPv6, which sandboxes do not have");
    if (str_cut(text, ':', &target, &ports) && parse_ports(ports, &r) < 0)
        return err_say(e, EINVAL, "must end in :PORT or :PORT-PORT, from 1 to 65535");
    int rc = parse_cidr(target, &r);
    if (rc == -EINVAL)
        return err_say(e, EINVAL, "is no CIDR such as 1.2.3.0/24");
    if (rc == -ENOENT && !allow)
        return err_say(e, EINVAL,
                       "must be an IPv4 address or a CIDR: a domain cannot be denied");
    rc = rc == 0 ? check_address_rule(&r, e) : parse_name(target, &r, e);
    if (rc == 0)
        *out = r;
    return rc;
}

bool egress_rule_ok(const struct egress_rule *r)
{
    char name[EGRESS_NAME_MAX + 1];

    if (r->allow > 1 || (r->proto != 0 && r->proto != EGRESS_TCP && r->proto != EGRESS_UDP) ||
        r->port_first > r->port_last || r->prefix > 32)
        return false;
    if (r->kind == EGRESS_CIDR)
        return (r->addr & mask_of(r->prefix)) == r->addr && r->name[0] == 0;
    return (r->kind == EGRESS_NAME || r->kind == EGRESS_SUFFIX) && r->allow == 1 &&
           memchr(r->name, 0, EGRESS_NAME_MAX + 1) &&
           egress_name_normalise(str_from(r->name), name) == 0 && strcmp(name, r->name) == 0 &&
           (r->port_first == r->port_last || (r->port_first == 0 && r->port_last == PORT_MAX));
}

bool egress_rule_is_everything(const struct egress_rule *r)
{
    return r->kind == EGRESS_CIDR && r->prefix == 0 && r->proto == 0 && r->port_first == 0 &&
           r->port_last == PORT_MAX;
}

/* --- decisions --- */

static bool proto_matches(const struct egress_rule *r, uint8_t proto)
{
    return r->proto == 0 || r->proto == proto;
}

static bool address_matches(const struct egress_rule *r, uint8_t proto, uint32_t addr,
                            uint16_t port)
{
    return r->kind == EGRESS_CIDR && proto_matches(r, proto) && port >= r->port_first &&
           port <= r->port_last && in_range(addr, r->addr, r->prefix);
}

/* By the entries alone: special ranges are another question. */
static bool entries_allow(const struct egress_policy *p, uint8_t proto, uint32_t addr,
                          uint16_t port)
{
    bool denied = !p->open;

    for (size_t i = 0; i < p->n; i++) {
        if (!address_matches(&p->rule[i], proto, addr, port))
            continue;
        if (p->rule[i].allow)
            return true;
        denied = true;
    }
    return !denied;
}

bool egress_address_allowed(const struct egress_policy *p, uint8_t proto, uint32_t addr,
                            uint16_t port)
{
    return (proto == EGRESS_TCP || proto == EGRESS_UDP) && !egress_is_special(addr) &&
           entries_allow(p, proto, addr, port);
}

enum egress_name_verdict egress_name_decide(const struct egress_policy *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->rule[i].allow && name_matches(&p->rule[i], name))
            return EGRESS_NAME_PINNED;
    return p->open ? EGRESS_NAME_OPEN : EGRESS_NAME_REFUSED;
}

bool egress_name_allowed(const struct egress_policy *p, const char *name, uint8_t proto,
                         uint16_t port)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct egress_rule *r = &p->rule[i];
        if (r->allow && name_matches(r, name) && proto_matches(r, proto) &&
            port >= r->port_first && port <= r->port_last)
            return true;
    }
    return false;
}

bool egress_name_ports(const struct egress_policy *p, const char *name,
                       void (*fn)(uint8_t proto, uint16_t port, void *arg), void *arg)
{
    bool everywhere = false;

    for (size_t i = 0; i < p->n; i++) {
        const struct egress_rule *r = &p->rule[i];
        if (!r->allow || !name_matches(r, name))
            continue;
        if (r->proto == 0 && r->port_last - r->port_first == (int)PORT_MAX)
            everywhere = true;
        if (r->port_first != r->port_last)
            continue;
        if (proto_matches(r, EGRESS_TCP))
            fn(EGRESS_TCP, r->port_first, arg);
        if (proto_matches(r, EGRESS_UDP))
            fn(EGRESS_UDP, r->port_first, arg);
    }
    return everywhere;
}

/* --- boxes --- */

#define EDGES_MAX (2 * EGRESS_RULES_MAX + 2)

/* Inserts v into the ascending list, once. */
static size_t add_edge(uint64_t *edge, size_t n, uint64_t v)
{
    size_t i = n;

    while (i > 0 && edge[i - 1] > v)
        i--;
    if (i > 0 && edge[i - 1] == v)
        return n;
    memmove(edge + i + 1, edge + i, (n - i) * sizeof *edge);
    edge[i] = v;
    return n + 1;
}

/* Where the answer can change between one address and the next. */
static size_t address_edges(const struct egress_policy *p, uint64_t *edge)
{
    size_t n = add_edge(edge, 0, 0);

    n = add_edge(edge, n, UINT64_C(1) << 32);
    for (size_t i = 0; i < p->n; i++) {
        const struct egress_rule *r = &p->rule[i];
        if (r->kind != EGRESS_CIDR)
            continue;
        n = add_edge(edge, n, r->addr);
        n = add_edge(edge, n, (uint64_t)(r->addr | ~mask_of(r->prefix)) + 1);
    }
    return n;
}

static size_t port_edges(const struct egress_policy *p, uint8_t proto, uint32_t addr,
                         uint64_t *edge)
{
    size_t n = add_edge(edge, 0, 0);

    n = add_edge(edge, n, PORT_MAX + 1);
    for (size_t i = 0; i < p->n; i++) {
        const struct egress_rule *r = &p->rule[i];
        if (r->kind != EGRESS_CIDR || !proto_matches(r, proto) ||
            !in_range(addr, r->addr, r->prefix))
            continue;
        n = add_edge(edge, n, r->port_first);
        n = add_edge(edge, n, (uint64_t)r->port_last + 1);
    }
    return n;
}

struct out {
    struct egress_region *region;
    size_t n, max;
};

static int put(struct out *o, const struct egress_region *r)
{
    struct egress_region *last = o->n > 0 ? &o->region[o->n - 1] : NULL;

    if (last && last->proto == r->proto && last->addr_first == r->addr_first &&
        last->port_last + 1 == r->port_first) {
        last->port_last = r->port_last;
        return 0;
    }
    if (o->n == o->max)
        return -E2BIG;
    o->region[o->n++] = *r;
    return 0;
}

/* The allowed ports of one run of addresses. */
static int put_run(struct out *o, const struct egress_policy *p, uint8_t proto, uint64_t first,
                   uint64_t end)
{
    uint64_t edge[EDGES_MAX];
    size_t n = port_edges(p, proto, (uint32_t)first, edge);

    for (size_t i = 0; i + 1 < n; i++) {
        const struct egress_region r = { (uint32_t)first, (uint32_t)(end - 1), proto,
                                         (uint16_t)edge[i], (uint16_t)(edge[i + 1] - 1) };
        if (entries_allow(p, proto, r.addr_first, r.port_first) && put(o, &r) < 0)
            return -E2BIG;
    }
    return 0;
}

/* Are the n boxes at `b` those before `b`, for the addresses that follow? Then they are one. */
static bool same_ports(const struct egress_region *a, const struct egress_region *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i].port_first != b[i].port_first || a[i].port_last != b[i].port_last ||
            (uint64_t)a[i].addr_last + 1 != b[i].addr_first || a[i].proto != b[i].proto)
            return false;
    return true;
}

static int compile_proto(struct out *o, const struct egress_policy *p, uint8_t proto,
                         const uint64_t *edge, size_t n)
{
    size_t before = 0; /* boxes of the run before this one, at the end of the list */

    for (size_t i = 0; i + 1 < n; i++) {
        size_t at = o->n;
        if (put_run(o, p, proto, edge[i], edge[i + 1]) < 0)
            return -E2BIG;
        size_t k = o->n - at;
        if (k > 0 && k == before && same_ports(o->region + at - k, o->region + at, k)) {
            for (size_t j = 0; j < k; j++)
                o->region[at - k + j].addr_last = o->region[at + j].addr_last;
            o->n = at;
        }
        before = k;
    }
    return 0;
}

int egress_compile(const struct egress_policy *p, struct egress_region *out, size_t max)
{
    uint64_t edge[EDGES_MAX];
    struct out o = { out, 0, max };
    size_t n = address_edges(p, edge);

    if (compile_proto(&o, p, EGRESS_TCP, edge, n) < 0 ||
        compile_proto(&o, p, EGRESS_UDP, edge, n) < 0)
        return -E2BIG;
    return (int)o.n;
}
