/* SPDX-License-Identifier: Apache-2.0 */
/* The table `inet firebreak_INSTANCE`. Its chains are the same whatever runs; a sandbox is
 * elements of sets. libnftables takes commands as text, each a transaction; every value in them
 * is a number of ours, an interface name of ours or a constant. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <nftables/libnftables.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "codec/json.h"
#include "netd/netd.h"

#define COMMAND_MAX   (4u << 20)
#define LEASE_SECONDS 12 /* new connections stop so long after netd has */

#define QUAD(a) (a) >> 24, (a) >> 16 & 255, (a) >> 8 & 255, (a)&255
#define QUAD_F  "%u.%u.%u.%u"

static int run(struct netd *d, struct buf *command, const char *what, struct err *e)
{
    if (!buf_ok(command))
        return err_set(e, command->failed, "%s", what);
    if (nft_run_cmd_from_buffer(d->nft, buf_cstr(command)) == 0)
        return 0;
    const char *why = nft_ctx_get_error_buffer(d->nft);
    return err_say(e, EIO, "%s: %.160s", what, why && *why ? why : "nftables failed");
}

int table_open(struct netd *d, struct err *e)
{
    d->nft = nft_ctx_new(NFT_CTX_DEFAULT);
    if (!d->nft || nft_ctx_buffer_error(d->nft) != 0 || nft_ctx_buffer_output(d->nft) != 0)
        return err_set(e, ENOMEM, "open nftables");
    nft_ctx_output_set_flags(d->nft, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_ALL);
    return 0;
}

int table_remove(struct netd *d, struct err *e)
{
    AUTO_BUF struct buf b = BUF_INIT(COMMAND_MAX);

    /* Adding what is there does nothing, so that the deletion always finds one. */
    buf_addf(&b, "add table inet %s\ndelete table inet %s\n", d->name.table, d->name.table);
    return run(d, &b, "remove the table", e);
}

/* --- the fixed part --- */

static void add_sets(struct netd *d, struct buf *b)
{
    size_t n;
    const struct egress_range *r = egress_special_ranges(&n);

    buf_add_cstr(b,
                 " set src { typeof iifname . ip saddr; size 1024; counter; }\n"
                 " set down { type ipv4_addr; size 1024; counter; }\n"
                 " set lease { type nf_proto; flags timeout; }\n"
                 " set open { typeof ip saddr . ip daddr . meta l4proto . th dport; flags "
                 "interval; }\n"
                 " set pin_any { typeof ip saddr . ip daddr; flags timeout; size 262144; }\n"
                 " set pin_port { typeof ip saddr . ip daddr . meta l4proto . th dport; "
                 "flags timeout; size 262144; }\n"
                 " set inject { typeof ip saddr . ip daddr; flags timeout; size 65536; }\n"
                 " set conns { type ipv4_addr; size 1024; flags dynamic; }\n"
                 " set starts { type ipv4_addr; size 1024; flags dynamic,timeout; timeout "
                 "60s; }\n"
                 " set up_rate { type ipv4_addr; size 1024; flags dynamic,timeout; timeout "
                 "60s; }\n"
                 " set down_rate { type ipv4_addr; size 1024; flags dynamic,timeout; timeout "
                 "60s; }\n"
                 " set special { type ipv4_addr; flags interval; elements = { ");
    for (size_t i = 0; i < n; i++)
        buf_addf(b, "%s" QUAD_F "/%u", i > 0 ? ", " : "", QUAD(r[i].addr), r[i].prefix);
    buf_add_cstr(b, " } }\n");
    (void)d;
}

/* Each reason has a counter and a chain that counts, tells and answers so that the sender sees it
 * at once. A spoofed packet is not answered: whoever has that address would get the answer. */
static void add_refusals(struct netd *d, struct buf *b)
{
    for (int why = NETD_WHY_SPOOFED; why <= NETD_WHY_DOWN; why++) {
        const char *word = netd_why_text((enum netd_why)why);
        buf_addf(
            b,
            " counter denied_%s { }\n"
            " set logged_%s { type ipv4_addr; size 1024; flags dynamic,timeout; timeout 60s; "
            "}\n"
            " chain refuse_%s {\n"
            "  counter name denied_%s\n"
            "  update @logged_%s { ip saddr limit rate 1/second burst 5 packets } log prefix "
            "\"%s\" group %u snaplen 64\n",
            word, word, word, word, word, word, d->log_group);
        if (why == NETD_WHY_SPOOFED)
            buf_add_cstr(b, "  drop\n }\n");
        else
            buf_add_cstr(b, "  meta l4proto tcp reject with tcp reset\n"
                            "  reject with icmpx admin-prohibited\n }\n");
    }
}

/* What comes from a sandbox, before the kernel remembers anything of it. */
static void add_early(struct netd *d, struct buf *b)
{
    buf_addf(b,
             " chain from_sandbox {\n"
             "  meta nfproto ipv6 return\n"
             "  iifname . ip saddr @src goto own_address\n" /* "!=" would not count */
             "  goto refuse_spoofed\n"
             " }\n"
             " chain own_address {\n"
             "  update @up_rate { ip saddr limit rate over %" PRIu64
             " bytes/second burst %" PRIu64 " bytes } counter name denied_limit drop\n"
             " }\n"
             " chain early { type filter hook prerouting priority raw; policy accept;\n"
             "  iifname \"" NETNAME_PREFIX "%s.*\" goto from_sandbox\n"
             "  iifname != \"lo\" ip daddr " QUAD_F "/%u drop\n"
             " }\n",
             d->opt.bytes_per_s, d->opt.bytes_per_s, d->name.tag, QUAD(d->range), RANGE_PREFIX);
}

/* Where it goes instead: our resolver, our metadata service, and for names our proxy. Never if
 * the address is the host's own. */
static void add_dstnat(struct netd *d, struct buf *b)
{
    buf_addf(b,
             " chain dstnat_sandbox {\n"
             "  ip daddr " QUAD_F " meta l4proto { tcp, udp } th dport 53 dnat ip to " QUAD_F
             ":%u\n"
             "  ip daddr " QUAD_F " tcp dport 80 dnat ip to " QUAD_F ":%u\n"
             "  tcp dport != { 80, 443 } return\n"
             "  fib daddr type local return\n"
             "  ip daddr @special return\n"
             "  meta l4proto tcp ip saddr . ip daddr @inject dnat ip to " QUAD_F ":%u\n"
             "  ip saddr . ip daddr . meta l4proto . th dport @open return\n"
             "  meta l4proto tcp ip saddr . ip daddr @pin_any dnat ip to " QUAD_F ":%u\n"
             "  meta l4proto tcp ip saddr . ip daddr . meta l4proto . th dport @pin_port dnat "
             "ip to " QUAD_F ":%u\n"
             " }\n"
             " chain dstnat { type nat hook prerouting priority dstnat; policy accept;\n"
             "  iifname \"" NETNAME_PREFIX "%s.*\" meta nfproto ipv4 jump dstnat_sandbox\n"
             " }\n",
             QUAD(NETD_RESOLVER), QUAD(d->gateway), PORT_RESOLVER, QUAD(NETD_METADATA),
             QUAD(d->gateway), PORT_METADATA, QUAD(d->gateway), PORT_PROXY, QUAD(d->gateway),
             PORT_PROXY, QUAD(d->gateway), PORT_PROXY, d->name.tag);
}

static void add_forward(struct netd *d, struct buf *b)
{
    buf_addf(b,
             " chain limits {\n"
             "  add @conns { ip saddr ct count over %u } goto refuse_limit\n"
             "  update @starts { ip saddr limit rate over %u/second burst 400 packets } goto "
             "refuse_limit\n"
             " }\n"
             " chain out {\n"
             "  meta nfproto ipv6 goto refuse_ipv6\n"
             "  oifname \"" NETNAME_PREFIX "*\" goto refuse_sandbox\n"
             "  ip daddr @special goto refuse_special\n"
             "  ct state established,related accept\n"
             "  meta nfproto != @lease goto refuse_down\n"
             "  meta l4proto != { tcp, udp } goto refuse_protocol\n"
             "  jump limits\n"
             "  udp dport 443 ip saddr . ip daddr @inject goto refuse_policy\n"
             "  ip saddr . ip daddr . meta l4proto . th dport @open accept\n"
             "  meta l4proto . th dport { tcp . 80, tcp . 443, udp . 443 } goto refuse_policy\n"
             "  ip saddr . ip daddr @pin_any accept\n"
             "  ip saddr . ip daddr . meta l4proto . th dport @pin_port accept\n"
             "  goto refuse_policy\n"
             " }\n"
             " chain slow_down {\n"
             "  update @down_rate { ip daddr limit rate over %" PRIu64
             " bytes/second burst %" PRIu64 " bytes } counter name denied_limit drop\n"
             " }\n"
             " chain in {\n"
             "  jump slow_down\n"
             "  ip daddr @down ct state established,related accept\n"
             "  drop\n"
             " }\n"
             " chain forward { type filter hook forward priority filter; policy accept;\n"
             "  iifname \"" NETNAME_PREFIX "%s.*\" goto out\n"
             "  oifname \"" NETNAME_PREFIX "%s.*\" goto in\n"
             "%s"
             " }\n",
             d->conns_of_one, d->starts_per_s, d->opt.bytes_per_s, d->opt.bytes_per_s,
             d->name.tag, d->name.tag,
             d->opt.guard_forward ? "  iifname != \"" NETNAME_PREFIX
                                    "*\" oifname != \"" NETNAME_PREFIX "*\" drop\n"
                                  : "");
}

/* The host itself: from sandboxes it takes what was rewritten to our own ports; to them it says
 * nothing but answers. Nobody but sandboxes speaks to our ports. */
static void add_host(struct netd *d, struct buf *b)
{
    buf_addf(b,
             " chain to_host {\n"
             "  meta nfproto ipv6 goto refuse_ipv6\n"
             "  ct status dnat ip daddr " QUAD_F " ct state established,related accept\n"
             "  ct status dnat ip daddr " QUAD_F
             " meta l4proto . th dport { tcp . %u, udp . %u, tcp . %u, tcp . %u } jump "
             "own_port\n"
             "  ip daddr 169.254.0.0/16 goto refuse_special\n"
             "  goto refuse_host\n"
             " }\n"
             " chain own_port {\n"
             "  jump limits\n"
             "  accept\n"
             " }\n"
             " chain input { type filter hook input priority filter; policy accept;\n"
             "  iifname \"" NETNAME_PREFIX "%s.*\" goto to_host\n"
             "  ip daddr " QUAD_F " goto refuse_foreign\n"
             " }\n"
             " chain refuse_foreign {\n"
             "  ct state established,related accept\n"
             "  meta l4proto tcp reject with tcp reset\n"
             "  drop\n"
             " }\n"
             " chain to_sandbox {\n"
             "  jump slow_down\n"
             "  ip daddr @down ct state established,related accept\n"
             "  meta l4proto icmp accept\n"
             "  tcp flags & rst == rst accept\n"
             "  meta l4proto tcp reject with tcp reset\n"
             "  reject with icmpx admin-prohibited\n"
             " }\n"
             " chain output { type filter hook output priority filter; policy accept;\n"
             "  oifname \"" NETNAME_PREFIX "%s.*\" goto to_sandbox\n"
             " }\n"
             " chain srcnat { type nat hook postrouting priority srcnat; policy accept;\n"
             "  ip saddr " QUAD_F "/%u oifname != \"" NETNAME_PREFIX "*\" masquerade\n"
             " }\n",
             QUAD(d->gateway), QUAD(d->gateway), PORT_RESOLVER, PORT_RESOLVER, PORT_METADATA,
             PORT_PROXY, d->name.tag, QUAD(d->gateway), d->name.tag, QUAD(d->range),
             RANGE_PREFIX);
}

int table_create(struct netd *d, struct err *e)
{
    AUTO_BUF struct buf b = BUF_INIT(COMMAND_MAX);

    /* One transaction: at no moment is there no table. */
    buf_addf(&b, "add table inet %s\ndelete table inet %s\ntable inet %s {\n", d->name.table,
             d->name.table, d->name.table);
    add_sets(d, &b);
    add_refusals(d, &b);
    add_early(d, &b);
    add_dstnat(d, &b);
    add_forward(d, &b);
    add_host(d, &b);
    buf_addf(&b, "}\nadd element inet %s lease { ipv4 timeout %us }\n", d->name.table,
             LEASE_SECONDS);
    return run(d, &b, "make the table", e);
}

int table_lease(struct netd *d, struct err *e)
{
    AUTO_BUF struct buf b = BUF_INIT(COMMAND_MAX);

    /* Older kernels do not prolong an element that is there. */
    buf_addf(&b, "delete element inet %s lease { ipv4 }\n", d->name.table);
    buf_addf(&b, "add element inet %s lease { ipv4 timeout %us }\n", d->name.table,
             LEASE_SECONDS);
    if (run(d, &b, "renew the lease", e) == 0)
        return 0;
    buf_clear(&b); /* it has expired: this process was stopped */
    buf_addf(&b, "add element inet %s lease { ipv4 timeout %us }\n", d->name.table,
             LEASE_SECONDS);
    return run(d, &b, "renew the lease", e);
}

/* --- a sandbox --- */

static bool same_region(const struct egress_region *a, const struct egress_region *b)
{
    return a->addr_first == b->addr_first && a->addr_last == b->addr_last &&
           a->proto == b->proto && a->port_first == b->port_first &&
           a->port_last == b->port_last;
}

static bool has_region(const struct egress_region *list, size_t n,
                       const struct egress_region *r)
{
    for (size_t i = 0; i < n; i++)
        if (same_region(&list[i], r))
            return true;
    return false;
}

/* Elements that are in `list` and not in `other`, as the argument of a command. */
static void add_regions(struct netd *d, const struct box *b, struct buf *out, const char *verb,
                        const struct egress_region *list, size_t n,
                        const struct egress_region *other, size_t n_other)
{
    size_t put = 0;

    for (size_t i = 0; i < n; i++) {
        const struct egress_region *r = &list[i];
        if (has_region(other, n_other, r))
            continue;
        if (put++ == 0)
            buf_addf(out, "%s element inet %s open { ", verb, d->name.table);
        else
            buf_add_cstr(out, ", ");
        buf_addf(out, QUAD_F " . " QUAD_F "-" QUAD_F " . %u . %u-%u", QUAD(b->addr),
                 QUAD(r->addr_first), QUAD(r->addr_last), r->proto, r->port_first,
                 r->port_last);
    }
    if (put > 0)
        buf_add_cstr(out, " }\n");
}

static void add_pair(struct netd *d, const struct box *b, struct buf *out, const char *verb)
{
    buf_addf(out, "%s element inet %s src { \"%s\" . " QUAD_F " }\n", verb, d->name.table,
             b->interface, QUAD(b->addr));
    buf_addf(out, "%s element inet %s down { " QUAD_F " }\n", verb, d->name.table,
             QUAD(b->addr));
}

int table_set_box(struct netd *d, struct box *b, struct egress_region *region, size_t n,
                  bool is_new, struct err *e)
{
    AUTO_BUF struct buf c = BUF_INIT(COMMAND_MAX);

    add_regions(d, b, &c, "delete", b->region, b->n_regions, region, n);
    add_regions(d, b, &c, "add", region, n, b->region, b->n_regions);
    if (is_new)
        add_pair(d, b, &c, "add");
    return c.n == 0 ? 0 : run(d, &c, "set the policy of a sandbox", e);
}

int table_remove_box(struct netd *d, const struct box *b, struct err *e)
{
    AUTO_BUF struct buf c = BUF_INIT(COMMAND_MAX);

    add_pair(d, b, &c, "delete");
    add_regions(d, b, &c, "delete", b->region, b->n_regions, NULL, 0);
    return run(d, &c, "forget a sandbox", e);
}

int table_restore_box(struct netd *d, struct box *b, struct err *e)
{
    AUTO_BUF struct buf c = BUF_INIT(COMMAND_MAX);

    add_regions(d, b, &c, "add", b->region, b->n_regions, NULL, 0);
    add_pair(d, b, &c, "add");
    return run(d, &c, "restore a sandbox", e);
}

/* --- names --- */

struct ports {
    struct netd *d;
    const struct box *b;
    struct buf *out;
    uint32_t addr;
    uint32_t seconds;
    const char *verb;
};

static void add_port(uint8_t proto, uint16_t port, void *arg)
{
    const struct ports *p = arg;

    buf_addf(p->out, "%s element inet %s pin_port { " QUAD_F " . " QUAD_F " . %u . %u", p->verb,
             p->d->name.table, QUAD(p->b->addr), QUAD(p->addr), proto, port);
    if (p->seconds > 0)
        buf_addf(p->out, " timeout %us", p->seconds);
    buf_add_cstr(p->out, " }\n");
}

static void add_pair_of(const struct ports *p, const char *set)
{
    buf_addf(p->out, "%s element inet %s %s { " QUAD_F " . " QUAD_F, p->verb, p->d->name.table,
             set, QUAD(p->b->addr), QUAD(p->addr));
    if (p->seconds > 0)
        buf_addf(p->out, " timeout %us", p->seconds);
    buf_add_cstr(p->out, " }\n");
}

static void add_pin(const struct ports *p, const char *name)
{
    struct ports copy = *p;
    size_t first;

    if (box_transforms(p->b, name, &first) > 0)
        add_pair_of(p, "inject");
    if (!egress_name_ports(&p->b->policy, name, add_port, &copy))
        return;
    add_pair_of(p, "pin_any");
}

int table_pin(struct netd *d, const struct box *b, const char *name, uint32_t addr,
              uint32_t seconds, bool replace, struct err *e)
{
    AUTO_BUF struct buf c = BUF_INIT(COMMAND_MAX);
    struct ports p = { d, b, &c, addr, 0, "delete" };

    /* What is there is replaced, since older kernels keep its time; if it has just gone, the first
     * try fails as a whole. */
    if (replace)
        add_pin(&p, name);
    p.seconds = seconds;
    p.verb = "add";
    add_pin(&p, name);
    if (c.n == 0 || run(d, &c, "open an address of a name", e) == 0)
        return 0;
    if (!replace)
        return -e->code;
    buf_clear(&c);
    add_pin(&p, name);
    return run(d, &c, "open an address of a name", e);
}

/* One command for each element: those that have expired must not keep the others. */
static void delete_pin(struct netd *d, struct buf *c)
{
    struct err ignored;

    (void)run(d, c, "close an address", &ignored);
    buf_clear(c);
}

static void unpin_address(struct netd *d, const struct box *b, uint32_t addr)
{
    AUTO_BUF struct buf c = BUF_INIT(COMMAND_MAX);
    struct ports p = { d, b, &c, addr, 0, "delete" };

    add_pair_of(&p, "pin_any");
    delete_pin(d, &c);
    add_pair_of(&p, "inject");
    delete_pin(d, &c);
    for (size_t i = 0; i < b->policy.n; i++) {
        const struct egress_rule *r = &b->policy.rule[i];
        if (r->kind == EGRESS_CIDR || r->port_first != r->port_last)
            continue;
        add_port(EGRESS_TCP, r->port_first, &p);
        delete_pin(d, &c);
        add_port(EGRESS_UDP, r->port_first, &p);
        delete_pin(d, &c);
    }
}

static bool is_first_of_its_address(const struct box *b, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (b->pin[j].addr == b->pin[i].addr)
            return false;
    return true;
}

void table_unpin(struct netd *d, const struct box *b)
{
    AUTO_BUF struct buf c = BUF_INIT(COMMAND_MAX);
    struct ports p = { d, b, &c, 0, 0, "delete" };
    uint64_t now_ns = clock_mono_ns();
    bool simple = true; /* each address has one name, and none is about to expire */
    struct err ignored;

    for (size_t i = 0; i < b->n_pins; i++) {
        simple =
            simple && is_first_of_its_address(b, i) && b->pin[i].until_ns > now_ns + NS_PER_S;
        p.addr = b->pin[i].addr;
        add_pin(&p, b->pin[i].name);
    }
    if (b->n_pins == 0 || (simple && run(d, &c, "close the addresses of names", &ignored) == 0))
        return;
    for (size_t i = 0; i < b->n_pins; i++)
        if (is_first_of_its_address(b, i))
            unpin_address(d, b, b->pin[i].addr);
}

/* --- counters --- */

static void take_denied(const json_t *counter, struct netd_counters *c)
{
    const char *name = json_string_value(json_object_get(counter, "name"));

    for (int why = NETD_WHY_SPOOFED; name && why <= NETD_WHY_DOWN; why++)
        if (strncmp(name, "denied_", 7) == 0 &&
            strcmp(name + 7, netd_why_text((enum netd_why)why)) == 0)
            c->denied[why] += (uint64_t)json_integer_value(json_object_get(counter, "packets"));
}

/* An element is {"elem": {"val": ..., "counter": {...}}}. */
static void take_element(const json_t *element, uint64_t *bytes, uint64_t *packets)
{
    const json_t *counter = json_object_get(json_object_get(element, "elem"), "counter");

    *bytes += (uint64_t)json_integer_value(json_object_get(counter, "bytes"));
    *packets += (uint64_t)json_integer_value(json_object_get(counter, "packets"));
}

static void take_set(const json_t *set, struct netd_counters *c)
{
    const char *name = json_string_value(json_object_get(set, "name"));
    bool up = name && strcmp(name, "src") == 0;
    size_t i;
    json_t *element;

    json_array_foreach(json_object_get(set, "elem"), i, element)
    {
        take_element(element, up ? &c->up_bytes : &c->down_bytes,
                     up ? &c->up_packets : &c->down_packets);
    }
}

/* `what` is constant text: "list set inet TABLE down", as two halves around the table. */
static int list(struct netd *d, const char *what, const char *rest, json_t **out, struct err *e)
{
    AUTO_BUF struct buf c = BUF_INIT(COMMAND_MAX);

    buf_addf(&c, "%s %s%s\n", what, d->name.table, rest);
    if (run(d, &c, "read the counters", e) < 0)
        return -e->code;
    *out = json_parse(str_from(nft_ctx_get_output_buffer(d->nft)), e);
    return *out ? 0 : -e->code;
}

/* The value of an element is an address, or an interface and an address. */
static const struct box *box_of(struct netd *d, const json_t *element)
{
    const json_t *val = json_object_get(json_object_get(element, "elem"), "val");
    const json_t *pair = json_object_get(val, "concat");
    const char *text = json_string_value(pair ? json_array_get(pair, 1) : val);
    struct in_addr in;

    return text && inet_pton(AF_INET, text, &in) == 1 ? box_by_addr(d, ntohl(in.s_addr)) : NULL;
}

static int take_traffic(struct netd *d, const char *set, uint64_t *bytes, struct err *e)
{
    AUTO_JSON json_t *j = NULL;
    json_t *item, *element;
    size_t i, k;
    uint64_t packets = 0;

    if (list(d, "list set inet", set, &j, e) < 0)
        return -e->code;
    json_array_foreach(json_object_get(j, "nftables"), i, item)
    {
        json_array_foreach(json_object_get(json_object_get(item, "set"), "elem"), k, element)
        {
            const struct box *b = box_of(d, element);
            if (b)
                take_element(element, &bytes[b->index], &packets);
        }
    }
    return 0;
}

int table_traffic(struct netd *d, uint64_t *up, uint64_t *down, struct err *e)
{
    return take_traffic(d, " src", up, e) < 0 ? -e->code : take_traffic(d, " down", down, e);
}

int table_counters(struct netd *d, struct netd_counters *c, struct err *e)
{
    static const char *const what[][2] = { { "list set inet", " src" },
                                           { "list set inet", " down" },
                                           { "list counters table inet", "" } };

    for (size_t k = 0; k < ARRAY_LEN(what); k++) {
        AUTO_JSON json_t *j = NULL;
        json_t *item;
        size_t i;
        if (list(d, what[k][0], what[k][1], &j, e) < 0)
            return -e->code;
        json_array_foreach(json_object_get(j, "nftables"), i, item)
        {
            take_set(json_object_get(item, "set"), c);
            take_denied(json_object_get(item, "counter"), c);
        }
    }
    return 0;
}
