/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol of ipc/netd_proto.h. Each handler says why a sender that has been taken over gains
 * nothing by it that the API may not do anyway. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "codec/http1_pass.h"
#include "ipc/ipc.h"
#include "netd/netd.h"

#define INDEX_TRIES     64
#define QUESTIONS_BURST 60
#define QUESTIONS_PER_S 20
#define EVENTS_BURST    10
#define EVENTS_PER_S    1
#define CA_AGAIN_NS     (500 * NS_PER_MS)
#define RULE_BYTES      sizeof(struct egress_rule)

/* --- boxes --- */

static void init_box(struct netd *d, struct box *b, uint32_t index, const struct sandbox_id *id)
{
    uint64_t now_ns = clock_mono_ns();

    *b = (struct box){ .used = true,
                       .generation = ++d->generation,
                       .index = index,
                       .addr = d->gateway + 1 + index,
                       .id = *id };
    (void)snprintf(b->interface, sizeof b->interface, NETNAME_PREFIX "%s.%u", d->name.tag,
                   index);
    (void)token_bucket_init(&b->questions, QUESTIONS_BURST, QUESTIONS_PER_S, now_ns);
    for (size_t i = 0; i < NETD_WHY_MAX; i++)
        (void)token_bucket_init(&b->events[i], EVENTS_BURST, EVENTS_PER_S, now_ns);
}

static void recover_link(struct netd *d, int index, const char *name, const char *id)
{
    struct sandbox_id who = { 0 };
    uint64_t n;

    (void)snprintf(who.text, sizeof who.text, "%s", id);
    const char *dot = strchr(name, '.');
    if (!dot || num_parse_u64(str_from(dot + 1), 0, NETD_BOXES_MAX - 1, &n) < 0 ||
        !sandbox_id_ok(&who) || d->box[n].used || box_by_id(d, &who)) {
        log_warn("interface_leftover", "name=%s", name);
        (void)link_delete(d, index);
        return;
    }
    init_box(d, &d->box[n], (uint32_t)n, &who);
}

void serve_recover(struct netd *d)
{
    struct err e;

    if (link_each(d, recover_link, &e) < 0)
        log_error("interfaces_unreadable", "err=\"%s\"", e.text);
}

static void delete_link_of(struct netd *d, int index, const char *name, const char *id)
{
    struct sandbox_id who = { 0 };

    (void)snprintf(who.text, sizeof who.text, "%s", id);
    if (!box_by_id(d, &who) && link_delete(d, index) == 0)
        log_warn("interface_leftover", "name=%s", name);
}

/* Its interface goes with its namespace, later; what it could reach goes now. */
static void remove_box(struct netd *d, struct box *b)
{
    struct err e;

    if (b->in_table && table_remove_box(d, b, &e) < 0)
        log_error("table_failed", "sandbox=%s err=\"%s\"", b->id.text, e.text);
    flow_cut(d, b, true);
    tls_cut(d, b);
    table_unpin(d, b);
    b->used = false;
    proxy_recheck(d, b, true);
    box_free(d, b);
}

/* --- policy --- */

static void renew_pins(struct netd *d, struct box *b)
{
    uint64_t now_ns = clock_mono_ns();
    struct err e;
    size_t n = 0;

    for (size_t i = 0; i < b->n_pins; i++) {
        struct pin *p = &b->pin[i];
        size_t first;
        if (p->until_ns <= now_ns ||
            (egress_name_decide(&b->policy, p->name) != EGRESS_NAME_PINNED &&
             box_transforms(b, p->name, &first) == 0))
            continue;
        if (table_pin(d, b, p->name, p->addr, (uint32_t)((p->until_ns - now_ns) / NS_PER_S + 1),
                      true, &e) < 0)
            continue; /* then it is closed until it is asked for again */
        b->pin[n++] = *p;
    }
    b->n_pins = n;
}

void serve_restore_table(struct netd *d)
{
    struct err e;

    log_error("table_lost", "table=%s", d->name.table);
    if (table_create(d, &e) < 0) {
        log_error("table_failed", "err=\"%s\"", e.text);
        return; /* tried again at the next tick */
    }
    for (size_t i = 0; i < NETD_BOXES_MAX; i++) {
        struct box *b = &d->box[i];
        if (!b->used || !b->in_table)
            continue;
        if (table_restore_box(d, b, &e) < 0)
            log_error("table_failed", "sandbox=%s err=\"%s\"", b->id.text, e.text);
        renew_pins(d, b);
        flow_cut(d, b, false); /* of what began while there were no rules */
    }
}

static int copy_policy(struct netd *d, struct egress_policy *out)
{
    struct egress_rule *rule = calloc(d->request.n_rules + 1, sizeof *rule);

    if (!rule)
        return -ENOMEM;
    memcpy(rule, d->rule, d->request.n_rules * sizeof *rule);
    *out = (struct egress_policy){ d->request.open == 1, d->request.n_rules, rule };
    return 0;
}

/* Takes over those of the request. Were they others before? */
static bool take_transforms(struct netd *d, struct box *b)
{
    size_t n = d->request.n_transforms;
    bool same = n == b->n_transforms &&
                (n == 0 || memcmp(b->transform, d->transform, n * sizeof *d->transform) == 0);

    transforms_free(b->transform, b->n_transforms);
    b->transform = ptr_steal(&d->transform);
    b->n_transforms = n;
    return !same;
}

/* In force before it is answered: first the kernel, then what it remembers of connections. */
static int apply_policy(struct netd *d, struct box *b, struct err *e)
{
    struct egress_policy policy;
    AUTO_FREE struct egress_region *region = calloc(EGRESS_REGIONS_MAX, sizeof *region);

    if (!region || copy_policy(d, &policy) < 0)
        return err_set(e, ENOMEM, "take a policy");
    int n = egress_compile(&policy, region, EGRESS_REGIONS_MAX);
    if (n < 0)
        (void)err_set(e, -n, "compile a policy");
    if (n < 0 || table_set_box(d, b, region, (size_t)n, !b->in_table, e) < 0) {
        free((void *)(uintptr_t)policy.rule);
        return -e->code;
    }
    table_unpin(d, b); /* by the old policy's ports */
    bool other_policy = policy.open != b->policy.open || policy.n != b->policy.n ||
                        (policy.n > 0 && memcmp(policy.rule, b->policy.rule,
                                                policy.n * sizeof *policy.rule) != 0);
    free((void *)(uintptr_t)b->policy.rule);
    free(b->region);
    b->policy = policy;
    b->region = ptr_steal(&region);
    b->n_regions = (size_t)n;
    bool other_headers = take_transforms(d, b);
    renew_pins(d, b);
    if (b->in_table)
        flow_cut(d, b, false);
    b->in_table = true;
    proxy_recheck(d, b, other_headers);
    if (other_headers || other_policy)
        tls_cut(d, b);
    tls_want_ca(d, b);
    return 0;
}

/* --- requests --- */

static void take_facts(struct netd *d, struct box *b)
{
    memcpy(b->template, d->request.template, sizeof b->template);
    free(b->pair);
    b->pair = ptr_steal(&d->pair);
    b->n_pairs = d->request.n_pairs;
}

static int new_box(struct netd *d, int netns_fd, struct box **out, struct err *e)
{
    int tries = 0;

    for (uint32_t i = 0; i < NETD_BOXES_MAX && tries < INDEX_TRIES; i++) {
        uint32_t index = d->next_index++ % NETD_BOXES_MAX;
        struct box *b = &d->box[index];
        if (b->used)
            continue;
        tries++;
        init_box(d, b, index, &d->request.id);
        int rc = link_make(d, b, d->request_fd, netns_fd, e);
        if (rc == 0) {
            *out = b;
            return 0;
        }
        b->used = false;
        if (rc != -EEXIST) /* the interface of one that has ended is still going away */
            return rc;
    }
    return err_say(e, ENOSPC, "no address is free");
}

/* The sender chooses which sandbox gets which policy: that is the API's business. The socket is
 * proved to be one of another network namespace, and everything that is done there is an address
 * of ours; the names that reach the kernel are made here. */
static int on_attach(struct netd *d, struct netd_msg *answer, struct err *e)
{
    struct box *b = box_by_id(d, &d->request.id);
    bool is_new = b == NULL;
    uint64_t begun_ns = clock_mono_ns();

    AUTO_CLOSE int netns_fd = link_namespace_of(d, d->request_fd);
    if (netns_fd < 0)
        return err_set(e, -netns_fd, "the descriptor is no route socket of a sandbox");
    if (is_new && new_box(d, netns_fd, &b, e) < 0)
        return -e->code;
    ASSERT(b);
    if (apply_policy(d, b, e) < 0) {
        struct err ignored;
        if (is_new) {
            remove_box(d, b);
            (void)link_each(d, delete_link_of, &ignored);
        }
        return -e->code;
    }
    take_facts(d, b);
    b->is_told = true;
    answer->address = b->addr;
    if (is_new)
        log_info("network_attached", "sandbox=%s interface=%s us=%llu", b->id.text,
                 b->interface, (unsigned long long)((clock_mono_ns() - begun_ns) / 1000));
    return 0;
}

/* Rules have been checked one by one; a policy can allow nothing that is special. */
static int on_policy(struct netd *d, struct err *e)
{
    struct box *b = box_by_id(d, &d->request.id);

    return b ? apply_policy(d, b, e) : err_set(e, ENOENT, "no such sandbox");
}

/* Less is reachable afterwards. Done behind the answer: the sandbox has ended, and who asked for
 * its end need not wait for the kernel's books to be put in order. */
static void on_detach(struct netd *d)
{
    struct box *b = box_by_id(d, &d->request.id);

    if (b)
        remove_box(d, b);
}

/* Less is reachable afterwards. */
static int on_synced(struct netd *d)
{
    struct err e;

    for (size_t i = 0; i < NETD_BOXES_MAX; i++)
        if (d->box[i].used && !d->box[i].is_told) {
            log_warn("sandbox_forgotten", "sandbox=%s", d->box[i].id.text);
            remove_box(d, &d->box[i]);
        }
    if (link_each(d, delete_link_of, &e) < 0)
        log_error("interfaces_unreadable", "err=\"%s\"", e.text);
    return 0;
}

static uint32_t count_boxes(const struct netd *d)
{
    uint32_t n = 0;

    for (size_t i = 0; i < NETD_BOXES_MAX; i++)
        n += d->box[i].used;
    return n;
}

static void add_own_counters(const struct box *b, struct netd_counters *c)
{
    for (size_t i = 0; i < NETD_WHY_MAX; i++)
        c->denied[i] += b->denied[i];
    c->names_resolved += b->names_resolved;
    c->proxied += b->proxied;
}

/* Numbers only. What follows the answer is made by answer_request. */
static int make_traffic(struct netd *d, struct netd_traffic *t, struct err *e)
{
    uint64_t up[NETD_BOXES_MAX] = { 0 }, down[NETD_BOXES_MAX] = { 0 };

    if (table_traffic(d, up, down, e) < 0)
        return -e->code;
    for (size_t i = 0; i < NETD_BOXES_MAX; i++)
        if (d->box[i].used && d->box[i].in_table)
            t->row[t->n++] = (struct netd_traffic_row){ d->box[i].id, up[i], down[i] };
    return 0;
}

/* Numbers only. */
static int on_stats(struct netd *d, struct netd_msg *answer, struct err *e)
{
    answer->n_attached = count_boxes(d);
    for (size_t i = 0; i < NETD_BOXES_MAX; i++)
        add_own_counters(&d->box[i], &answer->counters);
    for (size_t i = 0; i < NETD_WHY_MAX; i++)
        answer->counters.denied[i] += d->denied[i];
    return table_counters(d, &answer->counters, e);
}

static int on_hello(struct netd *d, struct netd_msg *answer)
{
    for (size_t i = 0; i < NETD_BOXES_MAX; i++)
        d->box[i].is_told = false;
    answer->n_attached = count_boxes(d);
    return 0;
}

/* Public: what the sandbox is to trust. */
static int on_ca(struct netd *d, struct netd_msg *answer, struct err *e)
{
    struct box *b = box_by_id(d, &d->request.id);

    if (!b || b->n_transforms == 0)
        return err_set(e, ENOENT, "no such sandbox, or no header is set for it");
    if (b->ca_n == 0 && clock_mono_ns() - b->ca_asked_ns > CA_AGAIN_NS)
        tls_want_ca(d, b); /* the question or its answer may have been lost */
    if (b->ca_n == 0)
        return err_set(e, EAGAIN, "tlsd has not told yet");
    answer->ca_hash = b->ca_hash;
    answer->ca_n = b->ca_n;
    memcpy(answer->ca, b->ca, sizeof answer->ca);
    return 0;
}

static int dispatch(struct netd *d, struct netd_msg *answer, struct err *e)
{
    switch ((enum netd_type)d->request.type) {
    case NETD_HELLO:
        return on_hello(d, answer);
    case NETD_ATTACH:
        return on_attach(d, answer, e);
    case NETD_POLICY:
        return on_policy(d, e);
    case NETD_DETACH:
        return 0; /* see answer_request */
    case NETD_SYNCED:
        return on_synced(d);
    case NETD_STATS:
        return on_stats(d, answer, e);
    case NETD_TRAFFIC:
        return 0; /* see answer_request */
    case NETD_CA:
        return on_ca(d, answer, e);
    default:
        return err_set(e, EPROTO, "an unknown request");
    }
}

/* --- receiving --- */

/* What has come with a request and nobody has taken. */
static void drop_more(struct netd *d)
{
    transforms_free(d->transform, d->request.n_transforms);
    d->transform = NULL;
    free(d->pair);
    d->pair = NULL;
}

static void drop_client(struct netd *d)
{
    if (d->client.fd >= 0)
        watch_close(d, &d->client);
    if (d->request_fd >= 0)
        (void)close(d->request_fd);
    d->request_fd = -1;
    drop_more(d);
    d->request = (struct netd_msg){ 0 };
}

static bool request_ok(const struct netd_msg *m, size_t n_fds)
{
    bool names_one = m->type == NETD_ATTACH || m->type == NETD_POLICY ||
                     m->type == NETD_DETACH || m->type == NETD_CA;
    bool has_rules = m->type == NETD_ATTACH || m->type == NETD_POLICY;

    return m->version == NETD_VERSION && m->type >= NETD_HELLO && m->type <= NETD_CA &&
           n_fds == (m->type == NETD_ATTACH) && m->open <= 1 &&
           m->n_rules <= (has_rules ? EGRESS_RULES_MAX : 0) &&
           m->n_transforms <= (has_rules ? TRANSFORM_MAX : 0) &&
           m->n_pairs <= (m->type == NETD_ATTACH ? NETD_PAIRS_MAX : 0) &&
           memchr(m->template, 0, sizeof m->template) && (!names_one || sandbox_id_ok(&m->id));
}

static int receive_head(struct netd *d)
{
    size_t n_fds = 0;
    int rc = ipc_recv(d->client.fd, &d->request, sizeof d->request, &d->request_fd, 1, &n_fds);

    if (rc < 0)
        return rc;
    if (!request_ok(&d->request, n_fds))
        return -EPROTO;
    d->rules_got = d->transforms_got = d->pairs_got = 0;
    if ((d->request.n_pairs > 0 && !(d->pair = calloc(d->request.n_pairs, sizeof *d->pair))) ||
        (d->request.n_transforms > 0 &&
         !(d->transform = calloc(d->request.n_transforms, sizeof *d->transform))))
        return -ENOMEM;
    return 0;
}

static int receive_rule(struct netd *d)
{
    struct egress_rule *r = &d->rule[d->rules_got];
    int rc = ipc_recv(d->client.fd, r, RULE_BYTES, NULL, 0, NULL);

    if (rc < 0)
        return rc;
    d->rules_got++;
    return egress_rule_ok(r) ? 0 : -EPROTO;
}

static int receive_transform(struct netd *d)
{
    struct transform *t = &d->transform[d->transforms_got];
    int rc = ipc_recv(d->client.fd, t, sizeof *t, NULL, 0, NULL);

    if (rc < 0)
        return rc;
    d->transforms_got++;
    return transform_ok(t) && http1_set_name_ok((struct str){ t->name, t->name_n }) &&
                   http1_set_value_ok((struct str){ t->value, t->value_n })
               ? 0
               : -EPROTO;
}

static int receive_pair(struct netd *d)
{
    struct netd_pair *p = &d->pair[d->pairs_got];
    int rc = ipc_recv(d->client.fd, p, sizeof *p, NULL, 0, NULL);

    if (rc < 0)
        return rc;
    d->pairs_got++;
    return p->key_n <= NETD_TEXT_MAX && p->value_n <= NETD_TEXT_MAX ? 0 : -EPROTO;
}

static int receive_next(struct netd *d)
{
    if (d->request.type == 0)
        return receive_head(d);
    if (d->rules_got < d->request.n_rules)
        return receive_rule(d);
    return d->transforms_got < d->request.n_transforms ? receive_transform(d) : receive_pair(d);
}

static void answer_request(struct netd *d)
{
    struct netd_msg answer = { .type = d->request.type,
                               .version = NETD_VERSION,
                               .request_id = d->request.request_id,
                               .id = d->request.id };
    struct err e = { 0 };

    AUTO_FREE struct netd_traffic *traffic =
        d->request.type == NETD_TRAFFIC ? calloc(1, sizeof *traffic) : NULL;

    answer.status = dispatch(d, &answer, &e);
    if (answer.type == NETD_TRAFFIC)
        answer.status = traffic ? make_traffic(d, traffic, &e) : err_set(&e, ENOMEM, "count");
    if (answer.status < 0 && answer.status != -ENOENT && answer.status != -EAGAIN)
        log_error("request_failed", "sandbox=%s err=\"%s\"", d->request.id.text, e.text);
    if (d->request_fd >= 0)
        (void)close(d->request_fd);
    d->request_fd = -1;
    drop_more(d);
    d->request.type = 0;
    bool sent = ipc_send(d->client.fd, &answer, sizeof answer, NULL, 0) == 0;
    if (sent && traffic && answer.status == 0)
        sent = ipc_send(d->client.fd, traffic, sizeof *traffic, NULL, 0) == 0;
    if (answer.type == NETD_DETACH)
        on_detach(d);
    if (!sent)
        drop_client(d);
}

static void on_client(struct netd *d, struct watch *w, uint32_t events)
{
    (void)w;
    (void)events;
    int rc = receive_next(d);
    if (rc == -EAGAIN)
        return;
    if (rc < 0) {
        log_info("client_gone", "err=%d", -rc);
        drop_client(d);
        return;
    }
    if (d->request.type != 0 && d->rules_got == d->request.n_rules &&
        d->transforms_got == d->request.n_transforms && d->pairs_got == d->request.n_pairs)
        answer_request(d);
}

static void on_listen(struct netd *d, struct watch *w, uint32_t events)
{
    AUTO_CLOSE int fd = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct ucred peer = { 0 };
    socklen_t n = sizeof peer;

    (void)events;
    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0 || peer.uid != d->opt.api_uid) {
        log_warn("client_refused", "uid=%u", peer.uid);
        return;
    }
    /* One API: a new one has replaced the old. */
    drop_client(d);
    d->client = (struct watch){ .fd = fd_steal(&fd), .ready = on_client };
    if (watch_add(d, &d->client, EPOLLIN) < 0)
        drop_client(d);
    else
        log_info("client_connected", "pid=%d", peer.pid);
}

int serve_open(struct netd *d, struct err *e)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    int n = snprintf(at.sun_path, sizeof at.sun_path, "%s/netd.sock", d->opt.run_dir);

    if (n < 0 || (size_t)n >= sizeof at.sun_path)
        return err_say(e, ENAMETOOLONG, "--run is too long");
    d->client.fd = -1;
    d->request_fd = -1;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(e, errno, "make a socket");
    if (unlink(at.sun_path) < 0 && errno != ENOENT)
        return err_set(e, errno, "remove the old '%s'", at.sun_path);
    mode_t old = umask(0177);
    int rc = bind(fd, (const struct sockaddr *)&at, sizeof at);
    (void)umask(old);
    if (rc < 0 || lchown(at.sun_path, d->opt.api_uid, d->opt.api_uid) < 0 || listen(fd, 4) < 0)
        return err_set(e, errno, "listen on '%s'", at.sun_path);
    d->listen = (struct watch){ .fd = fd_steal(&fd), .ready = on_listen };
    return 0;
}
