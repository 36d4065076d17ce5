/* SPDX-License-Identifier: Apache-2.0 */
/* One connection: TLS with the sandbox on one side, as the host that it asked for, and TLS with the
 * real one on the other, whose certificate must hold for that name. Between them requests pass as
 * codec/http1_pass lets them, each for that host, with its headers set; answers as they are. If the
 * server cannot be had, the first request is answered 502 with the reason. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "tlsd/tlsd.h"

#define GREET_NS (10 * NS_PER_S) /* both handshakes */
#define IDLE_NS  (900 * NS_PER_S)
#define LEAVE_NS (30 * NS_PER_S) /* for answers, after the client has said that it is done */
#define FEED     16384u
#define FED_MAX  32768u /* TLS bytes of a client that wait to be read */

struct conn {
    struct conn *next;
    struct watch client, server;
    uint64_t box;
    struct sandbox_id id;
    char name[EGRESS_NAME_MAX + 3];

    SSL *down; /* with the client */
    BIO *in;   /* what it has sent; belongs to `down` */
    SSL *up;   /* with the server */
    bool down_ready, up_ready, is_connected;
    bool down_blocked, up_blocked; /* there is something to be written, and no room */
    bool client_eof;               /* of the socket */
    bool asked_all;                /* the client has ended its side of TLS */
    bool server_eof, is_clean;     /* is_clean: it said so, as TLS does */
    bool told_server, is_own; /* is_own: what is said to the client is ours, and the last */
    bool has_answered;        /* something of the server has gone to the client */
    const char *word;         /* why there is no server; NULL: none has failed */
    char reason[REASON_N];

    struct http1_pass pass;
    struct http1_set set[TRANSFORM_HEADERS_MAX]; /* borrow from text */
    size_t n_set;
    char text[TRANSFORM_BYTES_MAX]; /* secret */

    char ask[ASK_BYTES], say[SAY_BYTES];
    size_t ask_n, ask_ok, say_n;
    uint64_t moved, until_ns;
};

/* --- the end --- */

static void conn_free(struct tlsd *t, struct conn *c)
{
    struct conn **at = &t->conns;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    t->n_conns--;
    SSL_free(c->down);
    SSL_free(c->up);
    watch_close(t, &c->client);
    watch_close(t, &c->server);
    explicit_bzero(c, sizeof *c);
    free(c);
}

static void conn_reset(struct tlsd *t, struct conn *c)
{
    const struct linger at_once = { 1, 0 };

    for (size_t i = 0; i < 2; i++) {
        int fd = i == 0 ? c->client.fd : c->server.fd;
        if (fd >= 0)
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    conn_free(t, c);
}

static void tell_refused(struct tlsd *t, const struct conn *c, enum tlsd_why why)
{
    struct tlsd_notice n = {
        .type = TLSD_REFUSED, .version = TLSD_VERSION, .box = c->box, .id = c->id, .why = why
    };

    (void)str_copy(str_from(c->name), n.name, sizeof n.name); /* the same size */
    tell(t, &n);
}

/* --- what we say ourselves --- */

/* In place of an answer of the server's, unless there was one. */
static void answer(struct conn *c, const char *status, const char *word, const char *text)
{
    char body[2 * REASON_N + EGRESS_NAME_MAX];

    c->is_own = true;
    c->server_eof = true;
    c->ask_n = c->ask_ok = 0;
    if (c->has_answered) {
        c->say_n = 0;
        return;
    }
    int n = snprintf(body, sizeof body, "Firebreak: %s: %s\n", c->name, text);
    n = snprintf(
        c->say, sizeof c->say,
        "HTTP/1.1 %s\r\nServer: Firebreak\r\nX-Firebreak-Error: %s\r\n"
        "Content-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
        status, word, n, body);
    c->say_n = (size_t)n; /* far less than SAY_BYTES */
    c->moved++;
}

static void fail(struct tlsd *t, struct conn *c, const char *word, const char *what,
                 const char *detail)
{
    c->word = word;
    (void)snprintf(c->reason, sizeof c->reason, "%s%s", what, detail); /* a longer one is cut */
    watch_close(t, &c->server);
    c->moved++;
    tell_refused(t, c, TLSD_WHY_UPSTREAM);
}

/* --- handshakes --- */

/* 0: it waits; -EPIPE: it is over, or has failed. */
static int waits(SSL *s, int rc, bool *blocked)
{
    int why = SSL_get_error(s, rc);

    *blocked = why == SSL_ERROR_WANT_WRITE;
    return why == SSL_ERROR_WANT_WRITE || why == SSL_ERROR_WANT_READ ? 0 : -EPIPE;
}

static int feed(struct conn *c)
{
    char bytes[FEED];

    if (c->client_eof || BIO_ctrl_pending(c->in) >= FED_MAX || c->ask_n >= ASK_FILL)
        return 0;
    ssize_t got = recv(c->client.fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (got == 0) {
        c->client_eof = true;
        (void)BIO_set_mem_eof_return(c->in, 0);
    } else if (BIO_write(c->in, bytes, (int)got) != (int)got) {
        return -ENOMEM;
    }
    c->moved++;
    return 0;
}

static int greet_client(struct conn *c)
{
    if (c->down_ready)
        return 0;
    int rc = SSL_accept(c->down);
    if (rc != 1)
        return waits(c->down, rc, &c->down_blocked);
    c->down_blocked = false;
    c->down_ready = true;
    c->moved++;
    return 0;
}

/* 1: connected; 0: not yet; -1 with a reason noted. */
static int is_connected(struct tlsd *t, struct conn *c)
{
    struct sockaddr_storage peer;
    socklen_t n = sizeof peer, k = sizeof(int);
    int error = 0;

    if (getsockopt(c->server.fd, SOL_SOCKET, SO_ERROR, &error, &k) < 0 || error != 0) {
        fail(t, c, "upstream_unreachable",
             "it cannot be reached: ", strerrordesc_np(error ? error : errno));
        return -1;
    }
    return getpeername(c->server.fd, (struct sockaddr *)&peer, &n) == 0;
}

static void greet_server(struct tlsd *t, struct conn *c)
{
    if (c->up_ready || c->word)
        return;
    if (!c->is_connected) {
        if (is_connected(t, c) != 1)
            return;
        c->is_connected = true;
    }
    int rc = SSL_connect(c->up);
    if (rc == 1) {
        c->up_blocked = false;
        c->up_ready = true;
        c->moved++;
    } else if (waits(c->up, rc, &c->up_blocked) < 0) {
        long verdict = SSL_get_verify_result(c->up);
        if (verdict != X509_V_OK)
            fail(t, c, "upstream_certificate",
                 "its certificate is not valid: ", X509_verify_cert_error_string(verdict));
        else
            fail(t, c, "upstream_tls", "it does not speak TLS 1.2 or 1.3 as we do", "");
    }
}

/* --- requests and answers --- */

static struct str without_port(struct str host)
{
    struct str name, port;

    if (str_cut(host, ':', &name, &port) && !str_eq(port, STR("443")))
        return (struct str){ 0 };
    return name;
}

static int check_head(void *arg, const struct http1_head *head, struct http1_pass_order *order)
{
    struct conn *c = arg;
    char name[EGRESS_NAME_MAX + 1];

    if (egress_name_normalise(without_port(head->host), name) < 0 || strcmp(name, c->name) != 0)
        return -EACCES;
    *order = (struct http1_pass_order){ c->set, c->n_set };
    return 0;
}

static void take_requests(struct tlsd *t, struct conn *c)
{
    bool ignored;

    if (!c->down_ready || c->is_own)
        return;
    if (!c->asked_all && c->ask_n < ASK_FILL) {
        int got = SSL_read(c->down, c->ask + c->ask_n, (int)(ASK_FILL - c->ask_n));
        if (got > 0) {
            c->ask_n += (size_t)got;
            c->moved++;
        } else if (waits(c->down, got, &ignored) < 0) {
            c->asked_all = true;
            c->moved++;
        }
    }
    if ((c->ask_ok < c->ask_n || c->pass.phase == HTTP1_PASS_UPGRADE) &&
        http1_pass_step(&c->pass, c->ask, &c->ask_n, sizeof c->ask, &c->ask_ok, check_head, c) <
            0) {
        tell_refused(t, c, TLSD_WHY_REQUEST);
        answer(
            c, "421 Misdirected Request", "request_refused",
            "this connection takes requests for that host only, framed strictly, and no TRACE");
    } else if (c->word && c->pass.n_heads > 0) {
        answer(c, "502 Bad Gateway", c->word, c->reason);
    }
}

static int pass_requests(struct conn *c)
{
    c->up_blocked = c->up_blocked && !c->up_ready;
    if (!c->up_ready || c->ask_ok == 0 || c->is_own)
        return 0;
    int put = SSL_write(c->up, c->ask, (int)c->ask_ok);
    if (put <= 0)
        return waits(c->up, put, &c->up_blocked);
    memmove(c->ask, c->ask + put, c->ask_n - (size_t)put);
    c->ask_n -= (size_t)put;
    c->ask_ok -= (size_t)put;
    c->moved++;
    return 0;
}

static void take_answers(struct conn *c)
{
    bool ignored;

    if (!c->up_ready || c->server_eof || c->say_n == sizeof c->say)
        return;
    int got = SSL_read(c->up, c->say + c->say_n, (int)(sizeof c->say - c->say_n));
    if (got > 0) {
        http1_pass_saw(&c->pass, c->say + c->say_n, (size_t)got);
        c->say_n += (size_t)got;
        c->has_answered = true;
        c->moved++;
    } else if (waits(c->up, got, &ignored) < 0) {
        c->is_clean = SSL_get_error(c->up, got) == SSL_ERROR_ZERO_RETURN;
        c->server_eof = true;
        c->moved++;
    }
}

static int pass_answers(struct conn *c)
{
    if (!c->down_ready || c->say_n == 0)
        return 0;
    c->down_blocked = false;
    int put = SSL_write(c->down, c->say, (int)c->say_n);
    if (put <= 0)
        return waits(c->down, put, &c->down_blocked);
    memmove(c->say, c->say + put, c->say_n - (size_t)put);
    c->say_n -= (size_t)put;
    c->moved++;
    return 0;
}

/* --- the whole --- */

static int pump_once(struct tlsd *t, struct conn *c)
{
    int rc = feed(c);

    ERR_clear_error(); /* SSL_get_error looks at what others have left */
    if (rc == 0)
        rc = greet_client(c);
    ERR_clear_error();
    greet_server(t, c);
    ERR_clear_error();
    if (rc == 0)
        take_requests(t, c);
    ERR_clear_error();
    if (rc == 0)
        rc = pass_requests(c);
    ERR_clear_error();
    if (rc == 0)
        take_answers(c);
    ERR_clear_error();
    return rc == 0 ? pass_answers(c) : rc;
}

static int update(struct tlsd *t, struct conn *c)
{
    uint32_t client = 0, server = 0;

    if (!c->client_eof && BIO_ctrl_pending(c->in) < FED_MAX && c->ask_n < ASK_FILL)
        client |= EPOLLIN;
    if (c->down_blocked)
        client |= EPOLLOUT;
    if (!c->is_connected || c->up_blocked)
        server |= EPOLLOUT;
    if (c->is_connected && !c->server_eof && (!c->up_ready || c->say_n < sizeof c->say))
        server |= EPOLLIN;
    int rc = watch_change(t, &c->client, client);
    return rc == 0 && c->server.fd >= 0 ? watch_change(t, &c->server, server) : rc;
}

/* Everything has been said. A server that broke off is not made to look as if it had ended. */
static void conn_end(struct tlsd *t, struct conn *c)
{
    if (c->is_clean || c->is_own)
        (void)SSL_shutdown(c->down);
    (void)shutdown(c->client.fd, SHUT_WR);
    conn_free(t, c);
}

static void pump(struct tlsd *t, struct conn *c)
{
    uint64_t begun = c->moved, before;
    int rc;

    do {
        before = c->moved;
        rc = pump_once(t, c);
    } while (rc == 0 && c->moved != before);
    if (rc < 0 && !c->down_ready) {
        conn_free(t, c); /* an alert is on its way */
        return;
    }
    if (rc < 0) {
        conn_reset(t, c);
        return;
    }
    if (c->server_eof && c->say_n == 0 && c->down_ready) {
        conn_end(t, c);
        return;
    }
    uint64_t now_ns = clock_mono_ns();
    if (c->asked_all && !c->told_server && c->ask_ok == 0) {
        if (c->up_ready)
            (void)SSL_shutdown(c->up);
        c->told_server = true;
        c->until_ns = now_ns + LEAVE_NS;
    } else if (c->moved != begun && c->down_ready && c->up_ready && !c->told_server) {
        c->until_ns = now_ns + IDLE_NS;
    }
    if (update(t, c) < 0)
        conn_reset(t, c);
}

static void on_client(struct tlsd *t, struct watch *w, uint32_t events)
{
    struct conn *c = (struct conn *)(void *)((char *)w - offsetof(struct conn, client));

    if (events & EPOLLERR || (events & EPOLLHUP && (c->client_eof || c->ask_n >= ASK_FILL)))
        conn_reset(t, c);
    else
        pump(t, c);
}

static void on_server(struct tlsd *t, struct watch *w, uint32_t events)
{
    struct conn *c = (struct conn *)(void *)((char *)w - offsetof(struct conn, server));

    if (c->up_ready && (events & EPOLLERR ||
                        (events & EPOLLHUP && (c->server_eof || c->say_n == sizeof c->say))))
        conn_reset(t, c);
    else
        pump(t, c);
}

/* --- the beginning --- */

static SSL *make_down(struct tlsd *t, struct conn *c)
{
    SSL_CTX *ctx = ca_leaf(&t->ca, &c->id, c->name, clock_mono_ns());
    SSL *s = ctx ? SSL_new(ctx) : NULL;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new_socket(c->client.fd, BIO_NOCLOSE);

    if (!s || !in || !out) {
        SSL_free(s);
        BIO_free(in);
        BIO_free(out);
        return NULL;
    }
    (void)BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(s, in, out);
    c->in = in;
    return s;
}

static SSL *make_up(struct tlsd *t, struct conn *c)
{
    static const unsigned char http1[] = "\x08http/1.1";
    SSL *s = SSL_new(t->to_servers);

    if (s && SSL_set_fd(s, c->server.fd) == 1 &&
        SSL_ctrl(s, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                 (void *)(uintptr_t)c->name) == 1 /* reads it */
        && SSL_set1_host(s, c->name) == 1 &&
        SSL_set_alpn_protos(s, http1, sizeof http1 - 1) == 0) {
        SSL_set_hostflags(s, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        return s;
    }
    SSL_free(s);
    return NULL;
}

static void take_headers(struct conn *c, const struct tlsd_request *m)
{
    const char *p = c->text;

    memcpy(c->text, m->text, sizeof c->text);
    for (c->n_set = 0; c->n_set < m->n_headers; c->n_set++) {
        const struct tlsd_header *h = &m->header[c->n_set];
        c->set[c->n_set] =
            (struct http1_set){ { p, h->name_n }, { p + h->name_n, h->value_n } };
        p += h->name_n + h->value_n;
    }
}

static unsigned count_of(const struct tlsd *t, uint64_t box)
{
    unsigned n = 0;

    for (const struct conn *c = t->conns; c; c = c->next)
        n += c->box == box;
    return n;
}

void conn_serve(struct tlsd *t, const struct tlsd_request *m, int client_fd, int server_fd)
{
    bool full = t->n_conns >= CONNS_MAX || count_of(t, m->box) >= CONNS_OF_ONE;
    struct conn *c = calloc(1, sizeof *c);
    int one = 1;

    if (!c) {
        (void)close(client_fd);
        (void)close(server_fd);
        return;
    }
    c->client = (struct watch){ client_fd, on_client };
    c->server = (struct watch){ server_fd, on_server };
    c->box = m->box;
    c->id = m->id;
    memcpy(c->name, m->name, sizeof c->name);
    c->until_ns = clock_mono_ns() + GREET_NS;
    c->next = t->conns;
    t->conns = c;
    t->n_conns++;
    if (full) {
        tell_refused(t, c, TLSD_WHY_LIMIT);
        conn_reset(t, c);
        return;
    }
    take_headers(c, m);
    (void)setsockopt(client_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->down = make_down(t, c);
    c->up = make_up(t, c);
    if (!c->down || !c->up || BIO_write(c->in, m->first, (int)m->first_n) != (int)m->first_n ||
        watch_add(t, &c->client, 0) < 0 || watch_add(t, &c->server, 0) < 0)
        conn_reset(t, c);
    else
        pump(t, c);
}

void conn_cut(struct tlsd *t, uint64_t box)
{
    struct conn *next;

    for (struct conn *c = t->conns; c; c = next) {
        next = c->next;
        if (c->box == box)
            conn_reset(t, c);
    }
}

void conn_tick(struct tlsd *t, uint64_t now_ns)
{
    struct conn *next;

    for (struct conn *c = t->conns; c; c = next) {
        next = c->next;
        if (c->until_ns >= now_ns)
            continue;
        if (c->down_ready && !c->up_ready && !c->word) {
            fail(t, c, "upstream_unreachable", "it did not answer in 10 seconds", "");
            c->until_ns = now_ns + LEAVE_NS;
            pump(t, c);
        } else {
            conn_reset(t, c);
        }
    }
}
