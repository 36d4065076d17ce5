/* SPDX-License-Identifier: Apache-2.0 */
/* The transparent proxy: ports 80 and 443 of addresses that a name has opened. The kernel sends
 * such connections here (table.c); what the client says first must carry a name that the policy
 * allows and that led to this very address. Then the bytes pass, both ways. TLS is not opened.
 * Of HTTP every request is looked at, since each has a Host of its own. A refusal is a reset. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "codec/http1_pass.h"
#include "codec/tls_hello.h"
#include "netd/netd.h"

#define CONNS_MAX    2048u
#define CONNS_OF_ONE 256u
#define UP_FILL      (HTTP1_HEAD_MAX + 1024u)     /* that are read from a client at most ... */
#define UP_BYTES     (UP_FILL + HTTP1_GROWTH_MAX) /* ... and what they can become */
#define DOWN_BYTES   32768u
#define HELLO_NS     (10 * NS_PER_S) /* to say the name, and to reach the server */
#define IDLE_NS      (900 * NS_PER_S)

struct proxy_conn {
    struct proxy_conn *next;
    struct watch client, server; /* server.fd -1: not yet */
    uint32_t index;
    uint64_t generation;
    uint32_t addr;
    uint16_t port;
    char name[EGRESS_NAME_MAX + 1];
    bool is_tls, is_named;     /* is_named: TLS whose first message has been looked at */
    bool is_raw;               /* nothing is looked at: the address is open by itself */
    bool is_changed;           /* headers have been set on a request of it */
    size_t hand_first, hand_n; /* TLS: headers to set on its requests, which tlsd does */
    struct http1_pass pass;    /* HTTP: where in its requests it is */
    uint64_t moved; /* bytes read and written: a connection where nothing moves ends */
    uint64_t until_ns;
    bool is_connected, client_eof, server_eof, told_server, told_client;
    size_t up_n, up_ok; /* bytes in `up`, and how many of them may go */
    size_t down_n;
    char up[UP_BYTES], down[DOWN_BYTES];
};

/* --- the end --- */

static void conn_close(struct netd *d, struct proxy_conn *c)
{
    struct proxy_conn **at = &d->conns;
    struct box *b = &d->box[c->index];

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    d->n_conns--;
    if (b->generation == c->generation && b->n_conns > 0)
        b->n_conns--;
    watch_close(d, &c->client);
    if (c->server.fd >= 0)
        watch_close(d, &c->server);
    free(c);
}

static void reset(int fd)
{
    const struct linger at_once = { 1, 0 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void conn_reset(struct netd *d, struct proxy_conn *c)
{
    reset(c->client.fd);
    if (c->server.fd >= 0)
        reset(c->server.fd);
    conn_close(d, c);
}

/* --- may it? --- */

static struct box *box_of(struct netd *d, const struct proxy_conn *c)
{
    struct box *b = &d->box[c->index];
    return b->used && b->generation == c->generation ? b : NULL;
}

static bool address_is_open(const struct box *b, const struct proxy_conn *c)
{
    return egress_address_allowed(&b->policy, EGRESS_TCP, c->addr, c->port);
}

/* A connection that stands is looked at again when the policy changes: the name must still be
 * allowed; the pin may have run out meanwhile, as DNS answers do. */
static bool may_stay(struct netd *d, const struct proxy_conn *c, bool other_headers)
{
    const struct box *b = box_of(d, c);

    if (!b || (c->is_changed && other_headers))
        return false;
    if (c->is_raw)
        return address_is_open(b, c);
    return !c->name[0] || egress_name_allowed(&b->policy, c->name, EGRESS_TCP, c->port) ||
           address_is_open(b, c);
}

void proxy_recheck(struct netd *d, struct box *b, bool other_headers)
{
    struct proxy_conn *next;

    for (struct proxy_conn *c = d->conns; c; c = next) {
        next = c->next;
        if (c->index == b->index && !may_stay(d, c, other_headers))
            conn_reset(d, c);
    }
}

/* What goes on under a name: it must be allowed and have led there, or the address must be open by
 * itself. Headers are set only where the name has led. -EACCES, or 0 with the name noted and how
 * many headers there are. */
static int check_name(struct netd *d, struct proxy_conn *c, struct str said, size_t *first,
                      size_t *n)
{
    struct box *b = box_of(d, c);
    char name[EGRESS_NAME_MAX + 1];

    *n = 0;
    if (!b)
        return -EACCES;
    bool is_name = egress_name_normalise(said, name) == 0;
    bool has_led = is_name && box_pin(b, name, c->addr, clock_mono_ns()) != NULL;
    if (!(has_led && egress_name_allowed(&b->policy, name, EGRESS_TCP, c->port)) &&
        !address_is_open(b, c))
        return -EACCES;
    if (is_name)
        memcpy(c->name, name, sizeof name);
    if (has_led)
        *n = box_transforms(b, name, first);
    return 0;
}

/* No name can be read: only where the address is open by itself. */
static int pass_raw(struct netd *d, struct proxy_conn *c)
{
    const struct box *b = box_of(d, c);

    if (!b || !address_is_open(b, c))
        return -EACCES;
    c->is_raw = true;
    return 0;
}

static int check_hello(struct netd *d, struct proxy_conn *c)
{
    uint8_t scratch[TLS_HELLO_MAX];
    struct tls_hello h;
    size_t first = 0, n = 0;
    int rc = tls_hello_read((const uint8_t *)c->up, c->up_n, scratch, &h);

    if (rc == 0)
        return 0;
    if (rc < 0 || h.encrypted)
        return pass_raw(d, c);
    if (check_name(d, c, str_from(h.name), &first, &n) < 0)
        return -EACCES;
    c->is_named = true;
    c->hand_first = first;
    c->hand_n = n;
    return 0;
}

static struct str without_port(struct str host)
{
    struct str name, port;
    (void)str_cut(host, ':', &name, &port);
    return name;
}

struct asked {
    struct netd *d;
    struct proxy_conn *c;
    struct http1_set set[TRANSFORM_HEADERS_MAX];
};

static int check_head(void *arg, const struct http1_head *head, struct http1_pass_order *order)
{
    struct asked *a = arg;
    size_t first = 0, n;
    int rc = check_name(a->d, a->c, without_port(head->host), &first, &n);

    if (rc < 0)
        return rc;
    const struct transform *t = a->d->box[a->c->index].transform + first;
    for (size_t i = 0; i < n && i < ARRAY_LEN(a->set); i++)
        a->set[i] =
            (struct http1_set){ { t[i].name, t[i].name_n }, { t[i].value, t[i].value_n } };
    *order = (struct http1_pass_order){ a->set, n };
    a->c->is_changed = a->c->is_changed || n > 0;
    return 0;
}

static int check_requests(struct netd *d, struct proxy_conn *c)
{
    struct asked a = { .d = d, .c = c };
    int rc =
        http1_pass_step(&c->pass, c->up, &c->up_n, sizeof c->up, &c->up_ok, check_head, &a);

    /* Something else than HTTP from the beginning. */
    return rc < 0 && c->pass.n_heads == 0 && !c->is_changed ? pass_raw(d, c) : rc;
}

/* As far as the bytes go. */
static int check(struct netd *d, struct proxy_conn *c)
{
    int rc = 0;

    if (!c->is_raw && !c->is_named)
        rc = c->is_tls ? check_hello(d, c) : check_requests(d, c);
    if (rc < 0)
        return rc;
    if (c->is_raw || c->is_named)
        c->up_ok = c->up_n;
    /* A first message or head that fills the buffer will not get whole. */
    return c->up_ok == 0 && c->up_n >= UP_FILL && c->pass.phase == HTTP1_PASS_HEAD ? -EACCES
                                                                                   : 0;
}

static void refuse(struct netd *d, struct proxy_conn *c)
{
    struct box *b = &d->box[c->index];

    if (b->used && b->generation == c->generation)
        box_denied(d, b, NETD_WHY_SNI, c->addr, c->port, EGRESS_TCP, NULL);
    conn_reset(d, c);
}

/* --- bytes --- */

static void on_server(struct netd *d, struct watch *w, uint32_t events);

static int open_server(struct proxy_conn *c)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(c->port),
                              .sin_addr.s_addr = htonl(c->addr) };
    int one = 1;

    c->server.ready = on_server;
    c->server.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->server.fd < 0)
        return -errno;
    (void)setsockopt(c->server.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return connect(c->server.fd, (const struct sockaddr *)&to, sizeof to) < 0 &&
                   errno != EINPROGRESS
               ? -errno
               : 0;
}

static int connect_server(struct netd *d, struct proxy_conn *c)
{
    int rc = open_server(c);
    return rc < 0 ? rc : watch_add(d, &c->server, EPOLLOUT);
}

/* tlsd has it from here on. What we close are our copies: it must leave the loop before. */
static void hand_over(struct netd *d, struct proxy_conn *c)
{
    struct box *b = &d->box[c->index]; /* check_name has just seen it */
    int rc = open_server(c);

    if (rc == 0)
        rc = tls_serve(d, b, c->name, c->hand_first, c->hand_n, (struct str){ c->up, c->up_n },
                       c->client.fd, c->server.fd);
    if (rc < 0) {
        box_denied(d, b, rc == -EAGAIN ? NETD_WHY_LIMIT : NETD_WHY_DOWN, c->addr, c->port,
                   EGRESS_TCP, c->name);
        conn_reset(d, c);
        return;
    }
    b->proxied++;
    watch_remove(d, &c->client);
    conn_close(d, c);
}

/* What each side is waited for. */
static int update(struct netd *d, struct proxy_conn *c)
{
    uint32_t client = 0, server = 0;

    if (!c->client_eof && c->up_n < UP_FILL)
        client |= EPOLLIN;
    if (c->down_n > 0)
        client |= EPOLLOUT;
    if (!c->is_connected || c->up_ok > 0)
        server |= EPOLLOUT;
    if (c->is_connected && !c->server_eof && c->down_n < sizeof c->down)
        server |= EPOLLIN;
    int rc = watch_change(d, &c->client, client);
    if (rc == 0 && c->server.fd >= 0)
        rc = watch_change(d, &c->server, server);
    return rc;
}

/* Reads what there is room for, adding to *moved. 0; -EPIPE at a failure. */
static int fill(int fd, char *p, size_t *n, size_t max, bool *eof, uint64_t *moved)
{
    if (*n >= max || *eof)
        return 0;
    ssize_t got = recv(fd, p + *n, max - *n, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    *eof = got == 0;
    *n += (size_t)got;
    *moved += (size_t)got;
    return 0;
}

/* Writes the first `ok` of `n` bytes as far as it goes, and moves the rest to the front. */
static int flush(int fd, char *p, size_t *n, size_t *ok, uint64_t *moved)
{
    if (*ok == 0)
        return 0;
    ssize_t put = send(fd, p, *ok, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    memmove(p, p + put, *n - (size_t)put);
    *n -= (size_t)put;
    *ok -= (size_t)put;
    *moved += (size_t)put;
    return 0;
}

/* What has been read goes on as far as it may. 1: something has, and there may be more. */
static int pass_up(struct netd *d, struct proxy_conn *c)
{
    int rc = c->up_ok < c->up_n || c->pass.phase == HTTP1_PASS_UPGRADE ? check(d, c) : 0;

    if (rc < 0 || c->hand_n > 0)
        return rc;
    if (c->server.fd < 0)
        return c->up_ok > 0 ? connect_server(d, c) : 0;
    if (!c->is_connected || c->up_ok == 0)
        return 0;
    if (flush(c->server.fd, c->up, &c->up_n, &c->up_ok, &c->moved) < 0)
        return -EPIPE;
    return c->up_ok == 0 &&
           c->up_n > 0; /* a head may have waited for the room that there is now */
}

static int pump_up(struct netd *d, struct proxy_conn *c)
{
    int rc = fill(c->client.fd, c->up, &c->up_n, UP_FILL, &c->client_eof, &c->moved);

    do {
        if (rc >= 0)
            rc = pass_up(d, c);
    } while (rc == 1);
    return rc;
}

static int pump_down(struct proxy_conn *c)
{
    size_t before = c->down_n;

    if (!c->is_connected)
        return 0;
    if (fill(c->server.fd, c->down, &c->down_n, sizeof c->down, &c->server_eof, &c->moved) < 0)
        return -EPIPE;
    http1_pass_saw(&c->pass, c->down + before, c->down_n - before);
    size_t ok = c->down_n;
    return flush(c->client.fd, c->down, &c->down_n, &ok, &c->moved);
}

/* An end is passed on once everything before it has been. */
static void pass_ends(struct proxy_conn *c)
{
    if (c->client_eof && c->is_connected && c->up_ok == 0 && !c->told_server) {
        (void)shutdown(c->server.fd, SHUT_WR);
        c->told_server = true;
    }
    if (c->server_eof && c->down_n == 0 && !c->told_client) {
        (void)shutdown(c->client.fd, SHUT_WR);
        c->told_client = true;
    }
}

static void pump(struct netd *d, struct proxy_conn *c)
{
    uint64_t before = c->moved;
    int rc = pump_down(c);

    if (rc == 0)
        rc = pump_up(d, c);
    if (rc == -EACCES) {
        refuse(d, c);
        return;
    }
    if (rc < 0) { /* one side is gone, or the server does not answer: the other learns it so */
        conn_reset(d, c);
        return;
    }
    if (c->hand_n > 0) {
        hand_over(d, c);
        return;
    }
    pass_ends(c);
    bool over = c->server.fd < 0 ? c->client_eof : c->told_client && c->told_server;
    if (over)
        conn_close(d, c);
    else if (update(d, c) < 0)
        conn_reset(d, c);
    else if (c->is_connected && c->moved != before)
        c->until_ns = clock_mono_ns() + IDLE_NS;
}

static void on_client(struct netd *d, struct watch *w, uint32_t events)
{
    struct proxy_conn *c =
        (struct proxy_conn *)(void *)((char *)w - offsetof(struct proxy_conn, client));

    /* It is reported again and again: nothing to be read, or no room to read it, is the end. */
    if (events & EPOLLERR || (events & EPOLLHUP && (c->client_eof || c->up_n >= UP_FILL)))
        conn_reset(d, c);
    else
        pump(d, c);
}

static void on_server(struct netd *d, struct watch *w, uint32_t events)
{
    struct proxy_conn *c =
        (struct proxy_conn *)(void *)((char *)w - offsetof(struct proxy_conn, server));
    int error = 0;
    socklen_t n = sizeof error;

    if (!c->is_connected) {
        if (getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0 || error != 0) {
            conn_reset(d, c);
            return;
        }
        c->is_connected = true;
        c->until_ns = clock_mono_ns() + IDLE_NS;
        d->box[c->index].proxied++;
    } else if (events & EPOLLERR ||
               (events & EPOLLHUP && (c->server_eof || c->down_n == sizeof c->down))) {
        conn_reset(d, c);
        return;
    }
    pump(d, c);
}

void proxy_tick(struct netd *d, uint64_t now_ns)
{
    struct proxy_conn *next;

    for (struct proxy_conn *c = d->conns; c; c = next) {
        next = c->next;
        if (c->until_ns < now_ns)
            conn_reset(d, c);
    }
}

/* --- the beginning --- */

/* Where the sandbox wanted to go, before the kernel sent it to us. */
static int original(int fd, uint32_t *addr, uint16_t *port)
{
    struct sockaddr_in at = { 0 };
    socklen_t n = sizeof at;

    if (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &at, &n) < 0)
        return -errno;
    *addr = ntohl(at.sin_addr.s_addr);
    *port = ntohs(at.sin_port);
    return *port == 80 || *port == 443 ? 0 : -EPERM;
}

static void on_accept(struct netd *d, struct watch *w, uint32_t events)
{
    struct sockaddr_in from = { 0 };
    socklen_t n = sizeof from;
    uint32_t addr = 0;
    uint16_t port = 0;
    AUTO_CLOSE int fd =
        accept4(w->fd, (struct sockaddr *)&from, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    if (fd < 0)
        return;
    struct box *b = box_by_addr(d, ntohl(from.sin_addr.s_addr));
    reset(fd); /* until it is taken */
    if (!b || original(fd, &addr, &port) < 0 || egress_is_special(addr))
        return;
    struct proxy_conn *c =
        d->n_conns < CONNS_MAX && b->n_conns < CONNS_OF_ONE ? calloc(1, sizeof *c) : NULL;
    if (!c) {
        box_denied(d, b, NETD_WHY_LIMIT, addr, port, EGRESS_TCP, NULL);
        return;
    }
    const struct linger usual = { 0, 0 };
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &usual, sizeof usual);
    c->client = (struct watch){ .fd = fd_steal(&fd), .ready = on_client };
    c->server.fd = -1;
    c->index = b->index;
    c->generation = b->generation;
    c->addr = addr;
    c->port = port;
    c->is_tls = port == 443;
    c->until_ns = clock_mono_ns() + HELLO_NS;
    c->next = d->conns;
    d->conns = c;
    d->n_conns++;
    b->n_conns++;
    if (watch_add(d, &c->client, EPOLLIN) < 0)
        conn_reset(d, c);
}

int proxy_open(struct netd *d, struct err *e)
{
    int fd = -1;

    if (listen_on_gateway(d, PORT_PROXY, &fd, e) < 0)
        return -e->code;
    d->proxy = (struct watch){ .fd = fd, .ready = on_accept };
    return 0;
}
