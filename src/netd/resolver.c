/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver of all sandboxes: asks the operator's server for names that the policy of the one
 * that asks allows, and opens what it answers. Every byte from both sides is read by codec/dns. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "codec/dns.h"
#include "netd/netd.h"

#define QUESTIONS_MAX   1024u /* asked upstream, of all sandboxes */
#define STREAMS_MAX     256u  /* questions over TCP at once, of all */
#define STREAMS_OF_ONE  8u
#define TRY_NS          (2 * NS_PER_S)
#define TRIES           2u
#define TTL_MIN_S       5u
#define TTL_MAX_S       300u
#define PIN_GRACE_S     120u /* an address stays open longer than the answer says, for slow users */
#define PINS_PER_ANSWER 16u
#define UPSTREAM_MAX    16384u /* bytes of an answer over TCP */
#define STREAM_NS       (10 * NS_PER_S)

/* A question over TCP: one, then the connection ends. */
struct stream {
    struct stream *next;
    struct watch watch;
    uint32_t index;
    uint64_t until_ns;
    struct question *question; /* that is being asked for it, or NULL */
    uint8_t bytes[2 + DNS_MESSAGE_MAX];
    size_t n;
};

/* What an upstream server says over TCP: two bytes of length, and the message. */
struct upstream_bytes {
    size_t n;
    uint8_t byte[2 + UPSTREAM_MAX];
};

struct question {
    struct question *next;
    struct watch upstream; /* a socket of its own: a port of its own against guessing */
    uint32_t index;
    uint64_t generation; /* of the box that asks */
    struct dns_query query;
    enum egress_name_verdict verdict;
    uint16_t id;
    unsigned tries;
    uint64_t until_ns;
    struct upstream_bytes *bytes; /* of an answer over TCP; owned; NULL: it is asked over UDP */
    bool is_stream;
    struct stream *stream; /* NULL if it is gone, or for UDP */
    struct sockaddr_in client;
};

static void stream_close(struct netd *d, struct stream *s)
{
    struct stream **at = &d->streams;

    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    if (s->question)
        s->question->stream = NULL;
    watch_close(d, &s->watch);
    free(s);
}

static void reply(struct netd *d, struct stream *s, const struct sockaddr_in *client,
                  const uint8_t *message, size_t n)
{
    uint8_t framed[2 + DNS_MESSAGE_MAX];

    if (!s) {
        (void)sendto(d->dns_udp.fd, message, n, MSG_DONTWAIT, (const struct sockaddr *)client,
                     sizeof *client); /* lost like any datagram */
        return;
    }
    framed[0] = (uint8_t)(n >> 8);
    framed[1] = (uint8_t)n;
    memcpy(framed + 2, message, n);
    (void)send(s->watch.fd, framed, n + 2, MSG_DONTWAIT | MSG_NOSIGNAL);
    stream_close(d, s);
}

static void reply_code(struct netd *d, const struct dns_query *q, enum dns_rcode rcode,
                       struct stream *s, const struct sockaddr_in *client)
{
    uint8_t out[DNS_MESSAGE_MAX];

    reply(d, s, client, out, dns_write_answer(out, q, rcode, NULL, 0, 0));
}

/* --- upstream --- */

static void question_end(struct netd *d, struct question *q)
{
    struct question **at = &d->questions;

    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    if (q->stream)
        q->stream->question = NULL;
    if (q->upstream.fd >= 0)
        watch_close(d, &q->upstream);
    free(q->bytes);
    d->n_questions--;
    free(q);
}

static void question_answer(struct netd *d, struct question *q, enum dns_rcode rcode,
                            const uint32_t *addr, size_t n, uint32_t ttl_s)
{
    uint8_t out[DNS_MESSAGE_MAX];
    struct stream *s = q->stream;

    size_t k = dns_write_answer(out, &q->query, rcode, addr, n, ttl_s);
    q->stream = NULL;
    if (s)
        s->question = NULL;
    if (s || !q->is_stream)
        reply(d, s, &q->client, out, k);
    question_end(d, q);
}

/* Opens one address for the box. */
static bool pin(struct netd *d, struct box *b, const char *name, uint32_t addr, uint32_t ttl_s)
{
    uint64_t now_ns = clock_mono_ns();
    uint64_t until_ns = now_ns + (ttl_s + PIN_GRACE_S) * NS_PER_S;
    struct pin *p = box_pin(b, name, addr, now_ns);
    struct err e;

    if (p && p->until_ns > until_ns - PIN_GRACE_S / 2 * NS_PER_S)
        return true; /* it lasts long enough */
    bool replace = box_has_pin_to(b, addr, now_ns);
    if (!box_add_pin(b, name, addr, until_ns, now_ns))
        return false;
    if (table_pin(d, b, name, addr, ttl_s + PIN_GRACE_S, replace, &e) == 0)
        return true;
    log_error("table_failed", "sandbox=%s err=\"%s\"", b->id.text, e.text);
    return false;
}

/* Keeps what may be reached. Returns how many. */
static size_t take_addresses(struct netd *d, struct box *b, const struct question *q,
                             struct dns_answer *a)
{
    size_t n = 0, first;
    bool is_pinned =
        q->verdict == EGRESS_NAME_PINNED || box_transforms(b, q->query.name, &first) > 0;

    for (size_t i = 0; i < a->n && n < PINS_PER_ANSWER; i++) {
        if (egress_is_special(a->addr[i])) {
            box_denied(d, b, NETD_WHY_REBIND, a->addr[i], 53, EGRESS_UDP, q->query.name);
            continue;
        }
        if (is_pinned && !pin(d, b, q->query.name, a->addr[i], a->ttl_s))
            continue;
        a->addr[n++] = a->addr[i];
    }
    return n;
}

static int ask_over_tcp(struct netd *d, struct question *q);

/* Whoever asked gets what may be had of it. */
static void pass_answer(struct netd *d, struct question *q, struct box *b, struct dns_answer *a)
{
    if (a->ttl_s < TTL_MIN_S)
        a->ttl_s = TTL_MIN_S;
    if (a->ttl_s > TTL_MAX_S)
        a->ttl_s = TTL_MAX_S;
    b->names_resolved++;
    /* The policy may have changed since. */
    q->verdict = egress_name_decide(&b->policy, q->query.name);
    size_t n = q->verdict == EGRESS_NAME_REFUSED ? 0 : take_addresses(d, b, q, a);
    enum dns_rcode rcode =
        a->rcode == DNS_OK || a->rcode == DNS_NXDOMAIN ? a->rcode : DNS_SERVFAIL;
    if (n == 0 && a->n > 0)
        rcode = DNS_REFUSED;
    question_answer(d, q, rcode, a->addr, n, a->ttl_s);
}

/* The box that asks, or NULL after the end of the question: it is another by now. */
static struct box *asker(struct netd *d, struct question *q)
{
    struct box *b = &d->box[q->index];

    if (b->used && b->generation == q->generation)
        return b;
    question_end(d, q);
    return NULL;
}

static void on_upstream(struct netd *d, struct watch *w, uint32_t events)
{
    struct question *q =
        (struct question *)(void *)((char *)w - offsetof(struct question, upstream));
    uint8_t bytes[4096];
    struct dns_answer a;

    (void)events;
    ssize_t got = recv(w->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    struct box *b = asker(d, q);
    if (!b)
        return;
    if (got < 0) { /* nobody listens there */
        question_answer(d, q, DNS_SERVFAIL, NULL, 0, 0);
        return;
    }
    if (dns_read_answer(bytes, (size_t)got, q->id, q->query.name, &a) < 0)
        return; /* a forgery, or late: the true one may still come */
    if (!a.is_cut)
        pass_answer(d, q, b, &a);
    else if (ask_over_tcp(d, q) < 0)
        question_answer(d, q, DNS_SERVFAIL, NULL, 0, 0);
}

/* 1: the answer is whole; 0: it is not yet; -EPIPE. */
static int read_upstream(int fd, struct upstream_bytes *u)
{
    ssize_t got = recv(fd, u->byte + u->n, sizeof u->byte - u->n, MSG_DONTWAIT);

    if (got < 0)
        return errno == EAGAIN ? 0 : -EPIPE;
    u->n += (size_t)got;
    size_t want = u->n < 2 ? 0 : (size_t)u->byte[0] << 8 | u->byte[1];
    if (u->n >= 2 && u->n - 2 >= want)
        return 1;
    return got == 0 || u->n == sizeof u->byte ? -EPIPE : 0;
}

static int send_upstream(struct netd *d, struct question *q)
{
    uint8_t out[2 + DNS_MESSAGE_MAX];
    size_t n = dns_write_query(out + 2, q->id, q->query.name);
    int error = 0;
    socklen_t k = sizeof error;

    out[0] = (uint8_t)(n >> 8);
    out[1] = (uint8_t)n;
    if (getsockopt(q->upstream.fd, SOL_SOCKET, SO_ERROR, &error, &k) < 0 || error != 0 ||
        send(q->upstream.fd, out, n + 2, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n + 2)
        return -EPIPE;
    return watch_change(d, &q->upstream, EPOLLIN);
}

static void on_upstream_stream(struct netd *d, struct watch *w, uint32_t events)
{
    struct question *q =
        (struct question *)(void *)((char *)w - offsetof(struct question, upstream));
    struct box *b = asker(d, q);
    struct dns_answer a;

    if (!b)
        return;
    int rc = events & EPOLLOUT ? send_upstream(d, q) : read_upstream(w->fd, q->bytes);
    if (rc == 0)
        return;
    size_t n = rc < 0 ? 0 : (size_t)q->bytes->byte[0] << 8 | q->bytes->byte[1];
    if (rc == 1 && dns_read_answer(q->bytes->byte + 2, n, q->id, q->query.name, &a) == 0)
        pass_answer(d, q, b, &a);
    else
        question_answer(d, q, DNS_SERVFAIL, NULL, 0, 0);
}

/* The same question again, since its answer did not fit a datagram. It is not asked a third time. */
static int ask_over_tcp(struct netd *d, struct question *q)
{
    watch_close(d, &q->upstream);
    q->upstream = (struct watch){ .ready = on_upstream_stream };
    q->upstream.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (q->upstream.fd < 0)
        return -errno;
    q->bytes = calloc(1, sizeof *q->bytes);
    q->tries = TRIES;
    q->until_ns = clock_mono_ns() + TRY_NS;
    if (!q->bytes)
        return -ENOMEM;
    if (connect(q->upstream.fd, (const struct sockaddr *)&d->upstream, sizeof d->upstream) <
            0 &&
        errno != EINPROGRESS)
        return -errno;
    return watch_add(d, &q->upstream, EPOLLOUT);
}

static int ask(struct netd *d, struct question *q)
{
    uint8_t out[DNS_MESSAGE_MAX];

    if (q->upstream.fd >= 0)
        watch_close(d, &q->upstream);
    q->upstream = (struct watch){ .ready = on_upstream };
    q->upstream.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (q->upstream.fd < 0)
        return -errno;
    rand_bytes(&q->id, sizeof q->id);
    q->tries++;
    q->until_ns = clock_mono_ns() + TRY_NS;
    size_t n = dns_write_query(out, q->id, q->query.name);
    if (n == 0 ||
        connect(q->upstream.fd, (const struct sockaddr *)&d->upstream, sizeof d->upstream) <
            0 ||
        send(q->upstream.fd, out, n, 0) < 0)
        return n == 0 ? -EINVAL : -errno;
    return watch_add(d, &q->upstream, EPOLLIN);
}

static void start_question(struct netd *d, struct box *b, const struct dns_query *query,
                           enum egress_name_verdict verdict, struct stream *s,
                           const struct sockaddr_in *client)
{
    struct question *q = d->n_questions < QUESTIONS_MAX ? calloc(1, sizeof *q) : NULL;

    if (!q) {
        reply_code(d, query, DNS_SERVFAIL, s, client);
        return;
    }
    q->index = b->index;
    q->generation = b->generation;
    q->query = *query;
    q->verdict = verdict;
    q->stream = s;
    q->is_stream = s != NULL;
    q->client = *client;
    q->upstream.fd = -1;
    q->next = d->questions;
    d->questions = q;
    d->n_questions++;
    if (s)
        s->question = q;
    if (ask(d, q) < 0)
        question_answer(d, q, DNS_SERVFAIL, NULL, 0, 0);
}

static void close_idle_streams(struct netd *d, uint64_t now_ns)
{
    struct stream *next;

    for (struct stream *s = d->streams; s; s = next) {
        next = s->next;
        if (s->until_ns < now_ns)
            stream_close(d, s);
    }
}

void resolver_tick(struct netd *d, uint64_t now_ns)
{
    struct question *next;

    close_idle_streams(d, now_ns);

    for (struct question *q = d->questions; q; q = next) {
        next = q->next;
        if (q->until_ns > now_ns)
            continue;
        if (q->tries >= TRIES || ask(d, q) < 0)
            question_answer(d, q, DNS_SERVFAIL, NULL, 0, 0);
    }
}

/* --- what sandboxes ask --- */

static bool is_answered(uint16_t type)
{
    return type == DNS_A || type == DNS_AAAA || type == DNS_HTTPS;
}

static void decide(struct netd *d, struct box *b, const struct dns_query *q, struct stream *s,
                   const struct sockaddr_in *client)
{
    char name[EGRESS_NAME_MAX + 1] = "";
    enum egress_name_verdict verdict = EGRESS_NAME_REFUSED;
    enum netd_why why = NETD_WHY_MAX;

    if (egress_name_normalise(str_from(q->name), name) == 0)
        verdict = egress_name_decide(&b->policy, name);
    if (!token_bucket_take(&b->questions, 1, clock_mono_ns()))
        why = NETD_WHY_RATE;
    else if (!is_answered(q->type))
        why = NETD_WHY_QTYPE;
    else if (verdict == EGRESS_NAME_REFUSED)
        why = NETD_WHY_NAME;
    if (why != NETD_WHY_MAX) {
        box_denied(d, b, why, 0, 53, s ? EGRESS_TCP : EGRESS_UDP, q->name);
        reply_code(d, q, DNS_REFUSED, s, client);
    } else if (q->type != DNS_A) {
        reply_code(d, q, DNS_OK, s, client); /* there is no IPv6 here, and no hint either */
    } else {
        start_question(d, b, q, verdict, s, client);
    }
}

static void on_query(struct netd *d, const uint8_t *p, size_t n, struct stream *s,
                     const struct sockaddr_in *client)
{
    struct box *b = box_by_addr(d, ntohl(client->sin_addr.s_addr));
    struct dns_query q;
    int rc = b ? dns_read_query(p, n, &q) : -EPROTO;

    if (rc == 0)
        decide(d, b, &q, s, client);
    else if (rc == -EPROTO && s)
        stream_close(d, s);
    else if (rc != -EPROTO)
        reply_code(d, &q, rc == -ENOTSUP ? DNS_NOTIMP : DNS_FORMERR, s, client);
}

static void on_datagram(struct netd *d, struct watch *w, uint32_t events)
{
    uint8_t bytes[DNS_MESSAGE_MAX];
    struct sockaddr_in client = { 0 };
    socklen_t n = sizeof client;
    ssize_t got = recvfrom(w->fd, bytes, sizeof bytes, MSG_DONTWAIT | MSG_TRUNC,
                           (struct sockaddr *)&client, &n);

    (void)events;
    if (got >= 0 && (size_t)got <= sizeof bytes && client.sin_family == AF_INET)
        on_query(d, bytes, (size_t)got, NULL, &client);
}

static void on_stream(struct netd *d, struct watch *w, uint32_t events)
{
    struct stream *s = (struct stream *)(void *)((char *)w - offsetof(struct stream, watch));
    struct sockaddr_in client = { 0 };
    socklen_t k = sizeof client;

    (void)events;
    ssize_t got = recv(w->fd, s->bytes + s->n, sizeof s->bytes - s->n, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0 || s->question) { /* gone, or it says more than one question */
        stream_close(d, s);
        return;
    }
    s->n += (size_t)got;
    size_t want = s->n < 2 ? 0 : (size_t)s->bytes[0] << 8 | s->bytes[1];
    if (s->n < 2 || s->n - 2 < want) {
        if (s->n == sizeof s->bytes)
            stream_close(d, s);
        return;
    }
    if (getpeername(w->fd, (struct sockaddr *)&client, &k) < 0)
        stream_close(d, s);
    else
        on_query(d, s->bytes + 2, want, s, &client);
}

/* How many streams there are, and how many of them are of that box. */
static unsigned count_streams(const struct netd *d, uint32_t index, unsigned *of_it)
{
    unsigned n = 0;

    *of_it = 0;
    for (const struct stream *s = d->streams; s; s = s->next) {
        n++;
        *of_it += s->index == index;
    }
    return n;
}

static void on_accept(struct netd *d, struct watch *w, uint32_t events)
{
    struct sockaddr_in client = { 0 };
    socklen_t k = sizeof client;
    AUTO_CLOSE int fd =
        accept4(w->fd, (struct sockaddr *)&client, &k, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct box *b = fd < 0 ? NULL : box_by_addr(d, ntohl(client.sin_addr.s_addr));
    unsigned of_it;

    (void)events;
    if (!b || count_streams(d, b->index, &of_it) >= STREAMS_MAX || of_it >= STREAMS_OF_ONE)
        return;
    struct stream *s = calloc(1, sizeof *s);
    if (!s)
        return;
    s->watch = (struct watch){ .fd = fd_steal(&fd), .ready = on_stream };
    s->index = b->index;
    s->until_ns = clock_mono_ns() + STREAM_NS;
    s->next = d->streams;
    d->streams = s;
    if (watch_add(d, &s->watch, EPOLLIN) < 0)
        stream_close(d, s);
}

int resolver_open(struct netd *d, struct err *e)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons(PORT_RESOLVER),
                              .sin_addr.s_addr = htonl(d->gateway) };
    int one = 1, tcp = -1;
    AUTO_CLOSE int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (udp < 0 || setsockopt(udp, IPPROTO_IP, IP_FREEBIND, &one, sizeof one) < 0 ||
        bind(udp, (const struct sockaddr *)&at, sizeof at) < 0)
        return err_set(e, errno, "bind the resolver");
    if (listen_on_gateway(d, PORT_RESOLVER, &tcp, e) < 0)
        return -e->code;
    d->dns_udp = (struct watch){ .fd = fd_steal(&udp), .ready = on_datagram };
    d->dns_tcp = (struct watch){ .fd = tcp, .ready = on_accept };
    return 0;
}
