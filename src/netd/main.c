/* SPDX-License-Identifier: Apache-2.0 */
/* netd: the networks of sandboxes. Has CAP_NET_ADMIN and nothing else: a user of its own, an
 * empty root, a filter. It reads hostile bytes (DNS, TLS, HTTP, packet heads), with parsers that
 * are pure and fuzzed; assume that it can be taken over all the same. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "netd/netd.h"
#include "sys/filter.h"
#include "sys/mnt.h"
#include "sys/task.h"

#define CAPS              (1ULL << CAP_NET_ADMIN)
#define FILES_WANTED      8192u
#define TICKS_A_LEASE     3u
#define RANGES            128u   /* of 1024 addresses in 198.18.0.0/15 */
#define CONNTRACK_DEFAULT 65536u /* where the kernel does not say yet */
#define STARTS_BURST      400u   /* as in table.c */
#define STARTS_MIN        5u     /* new connections a second */
#define STARTS_MAX        200u
#define REMEMBERED_S      120u
#define RANGE_BASE        0xc6120000u

static const char usage[] =
    "usage: netd --instance NAME --run DIR [OPTIONS]\n"
    "\n"
    "The networks of sandboxes: interfaces, rules, resolver, proxy, metadata. 'firebreak up' "
    "starts it; see netd(8).\n"
    "  --instance NAME    names the table (firebreak_NAME) and the interfaces\n"
    "  --run DIR          DIR/netd.sock is listened on\n"
    "  --api-uid UID      who may connect (default 65532)\n"
    "  --uid UID          user to become (default 65531)\n"
    "  --range ADDRESS    first of 1024 addresses in 198.18.0.0/15 (default: by the name)\n"
    "  --dns ADDRESS      server that the resolver asks (default: of /etc/resolv.conf)\n"
    "  --conns N          connections of one sandbox at once (default 2500)\n"
    "  --bytes N          bytes a second of one sandbox, each way (default 125000000)\n"
    "  --record-fd FD     a connected socket of recorder(8), who is told of refusals\n"
    "  --guard-forward    refuse to forward for anybody but sandboxes\n"
    "  --remove           remove what the instance has in the kernel, and end\n"
    "  --version, --help\n";

/* --- the loop --- */

static int control(struct netd *d, int op, struct watch *w, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = w };
    return epoll_ctl(d->epoll_fd, op, w->fd, &ev) < 0 ? -errno : 0;
}

int watch_add(struct netd *d, struct watch *w, uint32_t events)
{
    return control(d, EPOLL_CTL_ADD, w, events);
}

int watch_change(struct netd *d, struct watch *w, uint32_t events)
{
    return control(d, EPOLL_CTL_MOD, w, events);
}

void watch_remove(struct netd *d, struct watch *w)
{
    (void)control(d, EPOLL_CTL_DEL, w, 0);
}

void watch_close(struct netd *d, struct watch *w)
{
    (void)d;
    (void)close(w->fd); /* also leaves the epoll set: nobody else has it open */
    w->fd = -1;
}

/* One event at a time: what a handler frees cannot have another event waiting. */
static void loop(struct netd *d)
{
    while (!d->stop) {
        struct epoll_event ev;
        if (epoll_wait(d->epoll_fd, &ev, 1, -1) != 1)
            continue;
        struct watch *w = ev.data.ptr;
        w->ready(d, w, ev.events);
    }
}

static void on_signal(struct netd *d, struct watch *w, uint32_t events)
{
    struct signalfd_siginfo info;

    (void)events;
    if (read(w->fd, &info, sizeof info) == (ssize_t)sizeof info)
        d->stop = true;
}

static void on_tick(struct netd *d, struct watch *w, uint32_t events)
{
    uint64_t n, now_ns = clock_mono_ns();
    struct err e;

    (void)events;
    if (read(w->fd, &n, sizeof n) < 0)
        return;
    resolver_tick(d, now_ns);
    proxy_tick(d, now_ns);
    record_tick(d);
    metadata_tick(d, now_ns);
    if (d->ticks++ % TICKS_A_LEASE == 0 && table_lease(d, &e) < 0)
        serve_restore_table(d);
}

/* --- options --- */

struct flag {
    const char *name;
    const char **text;
    uint32_t *number;
    uint64_t *large;
    bool *on;
    uint64_t min, max;
};

static int take_value(const struct flag *f, const char *value, struct err *e)
{
    uint64_t v;

    if (!value)
        return err_say(e, EINVAL, "%s needs a value", f->name);
    if (f->text) {
        *f->text = value;
        return 0;
    }
    if (num_parse_u64(str_from(value), f->min, f->max, &v) < 0)
        return err_say(e, EINVAL, "%s must be a number from %llu to %llu", f->name,
                       (unsigned long long)f->min, (unsigned long long)f->max);
    if (f->large)
        *f->large = v;
    else
        *f->number = (uint32_t)v;
    return 0;
}

static int parse_options(struct options *o, int argc, char **argv, struct err *e)
{
    const struct flag flags[] = {
        { "--instance", &o->instance, NULL, NULL, NULL, 0, 0 },
        { "--run", &o->run_dir, NULL, NULL, NULL, 0, 0 },
        { "--range", &o->range, NULL, NULL, NULL, 0, 0 },
        { "--dns", &o->upstream, NULL, NULL, NULL, 0, 0 },
        { "--api-uid", NULL, &o->api_uid, NULL, NULL, 0, UINT32_MAX - 1 },
        { "--uid", NULL, &o->uid, NULL, NULL, 1, UINT32_MAX - 1 },
        { "--record-fd", NULL, &o->record_fd, NULL, NULL, 3, 1023 },
        { "--conns", NULL, &o->conns, NULL, NULL, 1, 65535 },
        { "--bytes", NULL, NULL, &o->bytes_per_s, NULL, 10000, 4000000000u },
        { "--guard-forward", NULL, NULL, NULL, &o->guard_forward, 0, 0 },
        { "--remove", NULL, NULL, NULL, &o->remove, 0, 0 },
    };

    for (int i = 1; i < argc; i++) {
        size_t k = 0;
        while (k < ARRAY_LEN(flags) && strcmp(flags[k].name, argv[i]) != 0)
            k++;
        if (k == ARRAY_LEN(flags))
            return err_say(e, EINVAL, "unknown option '%.64s'", argv[i]);
        if (flags[k].on)
            *flags[k].on = true;
        else if (take_value(&flags[k], i + 1 < argc ? argv[i + 1] : NULL, e) < 0)
            return -e->code;
        i += !flags[k].on;
    }
    if (!o->instance || !o->run_dir)
        return err_say(e, EINVAL, "%s is missing", o->instance ? "--run" : "--instance");
    size_t n = strspn(o->instance, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n > 0 && n <= 32 && !o->instance[n]
               ? 0
               : err_say(e, EINVAL, "--instance must be 1 to 32 characters of a-z, 0-9 and -");
}

/* Names and addresses that follow from the instance's name. */
static int name_things(struct netd *d, struct err *e)
{
    struct in_addr in;

    ASSERT(d->opt.instance); /* parse_options */
    netname_of(d->opt.instance, &d->name);
    d->log_group = (uint16_t)(1024 + d->name.hash % 60000);
    d->range = RANGE_BASE;
    if (strcmp(d->opt.instance, "default") != 0)
        d->range += (1 + d->name.hash % (RANGES - 1)) << (32 - RANGE_PREFIX);
    if (d->opt.range) {
        if (inet_pton(AF_INET, d->opt.range, &in) != 1)
            return err_say(e, EINVAL, "--range must be an IPv4 address");
        d->range = ntohl(in.s_addr);
    }
    if ((d->range & 0x3ffu) || (d->range & 0xfffe0000u) != RANGE_BASE)
        return err_say(e, EINVAL,
                       "--range must be a multiple of 1024 in 198.18.0.0/15, whose "
                       "addresses no sandbox may reach");
    d->gateway = d->range + 1;
    return 0;
}

/* The kernel remembers so many connections, of everybody together. What one sandbox has open takes a
 * sixteenth at most, and so do those that it has closed: TCP's are remembered for two minutes, and
 * `ct count` does not count them. Those of our proxy are as many again: in all a quarter. */
static void take_share(struct netd *d)
{
    char text[32] = "";
    uint64_t max = CONNTRACK_DEFAULT;
    AUTO_FCLOSE FILE *f = fopen("/proc/sys/net/netfilter/nf_conntrack_max", "re");

    if (f && fgets(text, sizeof text, f)) {
        text[strcspn(text, "\n")] = '\0';
        (void)num_parse_u64(str_from(text), 1, UINT32_MAX, &max);
    }
    uint32_t share = (uint32_t)(max / 16);
    uint32_t rate = share > STARTS_BURST ? (share - STARTS_BURST) / REMEMBERED_S : 0;
    d->conns_of_one = d->opt.conns < share ? d->opt.conns : share;
    d->starts_per_s = rate < STARTS_MIN ? STARTS_MIN : rate > STARTS_MAX ? STARTS_MAX : rate;
}

/* The first IPv4 "nameserver" of the host. Only read at the start; written by the operator. */
static int find_upstream(struct netd *d, struct err *e)
{
    char line[512];
    const char *text = d->opt.upstream;
    AUTO_FCLOSE FILE *f = text ? NULL : fopen("/etc/resolv.conf", "re");

    d->upstream = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(53) };
    if (text)
        return inet_pton(AF_INET, text, &d->upstream.sin_addr) == 1
                   ? 0
                   : err_say(e, EINVAL, "--dns must be an IPv4 address");
    while (f && fgets(line, sizeof line, f)) {
        struct str word, rest;
        char addr[INET_ADDRSTRLEN];
        (void)str_cut(str_trim(str_from(line)), ' ', &word, &rest);
        rest = str_trim(rest);
        if (rest.n > 0 && rest.p[rest.n - 1] == '\n')
            rest.n--;
        if (str_eq(word, STR("nameserver")) && str_copy(rest, addr, sizeof addr) == 0 &&
            inet_pton(AF_INET, addr, &d->upstream.sin_addr) == 1)
            return 0;
    }
    log_warn("no_upstream",
             "names will not be resolved: /etc/resolv.conf names no IPv4 server");
    d->upstream.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return 0;
}

/* --- start --- */

int listen_on_gateway(struct netd *d, uint16_t port, int *fd, struct err *e)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(d->gateway) };
    AUTO_CLOSE int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;

    /* No interface has the address before there is a sandbox. */
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        setsockopt(s, IPPROTO_IP, IP_FREEBIND, &one, sizeof one) < 0 ||
        bind(s, (const struct sockaddr *)&at, sizeof at) < 0 || listen(s, 1024) < 0)
        return err_set(e, errno, "listen on port %u of the gateway", port);
    *fd = fd_steal(&s);
    return 0;
}

static int harden(const struct netd *d, struct err *e)
{
    struct filter filter;
    int death_signal = 0;

    if (prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) < 0)
        return err_set(e, errno, "read the parent's death signal");
    if (mnt_empty_root(e) < 0 || task_limit(RLIMIT_CORE, 0, e) < 0 ||
        task_limit(RLIMIT_NOFILE, FILES_WANTED, e) < 0 || task_limit_bounding(CAPS, e) < 0)
        return -e->code;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
        return err_set(e, errno, "keep the capability");
    if (task_set_ids(d->opt.uid, d->opt.uid, e) < 0 || task_set_caps(CAPS, e) < 0)
        return -e->code;
    /* A change of ids clears it, and then we would outlive our supervisor. */
    if ((death_signal && prctl(PR_SET_PDEATHSIG, (unsigned long)death_signal, 0, 0, 0) < 0) ||
        prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_set(e, errno, "set the process up");
    if (task_no_new_privs(e) < 0)
        return -e->code;
    filter_build(&filter, FILTER_NETD);
    return filter_load(&filter, e);
}

static int open_clocks(struct netd *d, struct err *e)
{
    const struct itimerspec each_second = { { 1, 0 }, { 1, 0 } };
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_set(e, errno, "set up signals");
    d->signals = (struct watch){ signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), on_signal };
    d->tick =
        (struct watch){ timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), on_tick };
    d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (d->signals.fd < 0 || d->tick.fd < 0 || d->epoll_fd < 0 ||
        timerfd_settime(d->tick.fd, 0, &each_second, NULL) < 0)
        return err_set(e, errno, "open signals and timer");
    return 0;
}

static int watch_all(struct netd *d, struct err *e)
{
    struct watch *const all[] = { &d->listen, &d->tick,      &d->signals, &d->log,
                                  &d->guard,  &d->dns_udp,   &d->dns_tcp, &d->metadata,
                                  &d->proxy,  &d->tls_listen };

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        int rc = watch_add(d, all[i], EPOLLIN);
        if (rc < 0)
            return err_set(e, -rc, "watch a descriptor");
    }
    return 0;
}

static int start(struct netd *d, struct err *e)
{
    if (geteuid() != 0)
        return err_say(e, EPERM, "netd must be started as root");
    take_share(d);
    if (find_upstream(d, e) < 0 || link_open(d, e) < 0 || flow_open(d, e) < 0 ||
        table_open(d, e) < 0)
        return -e->code;
    /* From here on no packet of a sandbox that we do not know goes anywhere. */
    if (table_create(d, e) < 0 || log_open(d, e) < 0 || guard_open(d, e) < 0 ||
        resolver_open(d, e) < 0 || proxy_open(d, e) < 0 || metadata_open(d, e) < 0 ||
        open_clocks(d, e) < 0 || tls_open(d, e) < 0 || serve_open(d, e) < 0 || harden(d, e) < 0)
        return -e->code;
    serve_recover(d);
    return watch_all(d, e);
}

static void delete_each(struct netd *d, int index, const char *name, const char *id)
{
    (void)name;
    (void)id;
    (void)link_delete(d, index); /* it may be going already, with its namespace */
}

static int remove_all(struct netd *d, struct err *e)
{
    if (geteuid() != 0)
        return err_say(e, EPERM, "netd must be started as root");
    if (link_open(d, e) < 0 || table_open(d, e) < 0 || link_each(d, delete_each, e) < 0)
        return -e->code;
    return table_remove(d, e);
}

int main(int argc, char **argv)
{
    static struct netd d; /* too large for the stack; passed down, never global */
    struct err e = { 0 };

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("netd " FIREBREAK_VERSION) < 0;
    log_init("netd", LOG_LEVEL_INFO);
    d.opt = (struct options){
        .api_uid = 65532, .uid = 65531, .conns = 2500, .bytes_per_s = 125000000
    };
    if (parse_options(&d.opt, argc, argv, &e) < 0 || name_things(&d, &e) < 0) {
        (void)fprintf(stderr, "netd: %s\n\n%s", e.text, usage);
        return 2;
    }
    int rc = d.opt.remove ? remove_all(&d, &e) : start(&d, &e);
    if (rc < 0) {
        (void)fprintf(stderr, "netd: %s\n", e.text);
        return 1;
    }
    if (d.opt.remove)
        return 0;
    log_info("netd_ready", "table=%s interfaces=" NETNAME_PREFIX "%s.*", d.name.table,
             d.name.tag);
    loop(&d);
    log_info("netd_stopped", "table=%s", d.name.table);
    return 0;
}
