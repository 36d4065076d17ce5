/* SPDX-License-Identifier: Apache-2.0 */
/* relay: a client's request goes to an upstream, and the answer back, without a thread. Both
 * peers are hostile. What is passed on is never the bytes of a head but a head that we wrote
 * from the parsed one, with framing of our own, so client and upstream cannot disagree with us
 * about where a message ends.
 *
 * Two flows, up (request body) and down (response body), each with at most one piece waiting
 * for its destination; a flow reads its source only when nothing waits, which is the
 * back-pressure. Both sockets are registered edge-triggered for everything, and the flags say
 * what epoll last told and no call has denied since. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"
#include "http/server_priv.h"

#define STEPS_MAX         16u /* pieces a direction in one turn: 1 MiB, then others' turn */
#define CONNECTION_TOKENS 16u /* names a Connection header may list */
#define INTERIM_MAX       16u /* 1xx answers before the real one */

enum flow_from { FROM_NOTHING, FROM_LENGTH, FROM_CHUNKED, FROM_UNTIL_CLOSE, FROM_RAW };

struct flow {
    enum flow_from from;
    bool to_chunks;
    bool done;    /* the whole message has been taken from the source */
    bool is_shut; /* tunnel: the destination has been told that no more comes */
    bool is_dead; /* up: the destination takes no more */
    uint64_t left;
    struct http1_chunked chunked;
    struct buf out; /* waiting for the destination */
    size_t out_off;
    uint64_t bytes; /* written */
};

struct end {
    int fd;
    bool readable, writable;
    bool hung_up; /* it sends no more */
    bool is_gone; /* and takes no more */
};

enum relay_phase { PHASE_CONNECT, PHASE_HEAD, PHASE_BODY, PHASE_TUNNEL };

struct relay {
    enum relay_phase phase;
    struct watch watch;
    struct end client, upstream;
    struct flow up, down;
    struct buf head; /* of the response, as it comes in */
    struct look look;
    unsigned interims;
    bool wants_upgrade; /* and we passed that on */
    bool keep;          /* the client's connection, if all goes well */
    /* The answer's end is the connection's end: cut with a reset, or it would look whole. */
    bool cut_visible;
    unsigned status; /* of the answer, once its head is on the way */
    uint64_t progress_ns, head_since_ns, connect_until_ns;
    uint64_t connect_timeout_ns;
    unsigned fail_status;
    struct buf fail_body;
    bool (*is_over)(void *on_end_arg);
    void (*on_end)(void *arg, unsigned status, uint64_t bytes_up, uint64_t bytes_down);
    void *on_end_arg;
};

/* --- heads --- */

struct tokens {
    struct str name[CONNECTION_TOKENS];
    size_t n;
};

/* The names that the Connection headers list. False: more than anyone honest has. */
static bool connection_tokens(const struct http1_head *h, struct tokens *t)
{
    t->n = 0;
    for (size_t i = 0; i < h->n_headers; i++) {
        if (!str_eq_nocase(h->header[i].name, STR("Connection")))
            continue;
        struct str rest = h->header[i].value, item;
        bool more = true;
        while (more) {
            more = str_cut(rest, ',', &item, &rest);
            item = str_trim(item);
            if (item.n == 0)
                continue;
            if (t->n == CONNECTION_TOKENS)
                return false;
            t->name[t->n++] = item;
        }
    }
    return true;
}

static bool in_list(struct str name, const char *const *list)
{
    for (; list && *list; list++)
        if (str_eq_nocase(name, str_from(*list)))
            return true;
    return false;
}

/* Everything but what is between two hops only (RFC 9110 §7.6.1), what frames the message,
 * which is written anew, and `drop`. */
static void add_end_to_end(struct buf *b, const struct http1_head *h, const struct tokens *t,
                           const char *const *drop)
{
    static const char *const hop[] = { "Connection",
                                       "Keep-Alive",
                                       "Proxy-Connection",
                                       "TE",
                                       "Trailer",
                                       "Transfer-Encoding",
                                       "Upgrade",
                                       "Proxy-Authorization",
                                       "Proxy-Authenticate",
                                       "Content-Length",
                                       NULL };

    for (size_t i = 0; i < h->n_headers; i++) {
        struct str name = h->header[i].name;
        bool is_hop = in_list(name, hop) || in_list(name, drop);
        for (size_t k = 0; k < t->n && !is_hop; k++)
            is_hop = str_eq_nocase(name, t->name[k]);
        if (is_hop)
            continue;
        buf_add_str(b, name);
        buf_add_cstr(b, ": ");
        buf_add_str(b, h->header[i].value);
        buf_add_cstr(b, "\r\n");
    }
}

static void add_length(struct buf *b, uint64_t n)
{
    buf_add_cstr(b, "Content-Length: ");
    buf_add_u64(b, n);
    buf_add_cstr(b, "\r\n");
}

static bool is_word(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

static void add_request_head(struct buf *b, const struct http_conn *c,
                             const struct http_relay *r, const struct tokens *t, bool upgrade)
{
    const struct http1_head *h = c->head;
    const char *drop[64] = { "Host" };
    size_t n = 1;

    for (const char *const *d = r->drop; d && *d && n + 1 < ARRAY_LEN(drop); d++)
        drop[n++] = *d;
    buf_add_str(b, h->method);
    buf_add_char(b, ' ');
    buf_add_str(b, r->target.n > 0 ? r->target : h->target);
    buf_add_cstr(b, " HTTP/1.1\r\nHost: ");
    buf_add_str(b, r->host.n > 0 ? r->host : h->host);
    buf_add_cstr(b, "\r\n");
    add_end_to_end(b, h, t, drop);
    if (r->add_headers)
        buf_add_cstr(b, r->add_headers);
    if (h->framing == HTTP1_LENGTH)
        add_length(b, h->content_length);
    else if (h->framing == HTTP1_CHUNKED)
        buf_add_cstr(b, "Transfer-Encoding: chunked\r\n");
    if (upgrade) {
        buf_add_cstr(b, "Connection: upgrade\r\nUpgrade: ");
        buf_add_str(b, http1_get(h, "Upgrade"));
        buf_add_cstr(b, "\r\n\r\n");
    } else {
        buf_add_cstr(b, "Connection: close\r\n\r\n");
    }
}

/* --- from the handler --- */

static void relay_free(struct relay *r)
{
    if (!r)
        return;
    if (r->upstream.fd >= 0)
        (void)close(r->upstream.fd);
    buf_fini(&r->up.out);
    buf_fini(&r->down.out);
    buf_fini(&r->head);
    buf_fini(&r->fail_body);
    free(r);
}

static size_t count(const char *const *list)
{
    size_t n = 0;

    while (list && list[n])
        n++;
    return n;
}

int http_relay(struct http_conn *c, const struct http_relay *want)
{
    AUTO_CLOSE int fd = want->upstream_fd;
    const struct http1_head *h = c->head;
    struct tokens t;

    if (c->reply != REPLY_NONE || c->body.started || fd < 0 || want->fail_status < 400 ||
        want->fail_status > 599 || !is_word(want->target) || !is_word(want->host) ||
        count(want->drop) > 62 || !answer_headers_ok(want->add_headers, NULL) ||
        !connection_tokens(h, &t))
        return -EINVAL;
    struct relay *r = calloc(1, sizeof *r);
    if (!r)
        return -ENOMEM;
    r->upstream.fd = r->client.fd = -1;
    r->up.out = r->down.out = r->head = BUF_INIT((size_t)4 * READ_SIZE);
    r->fail_body = BUF_INIT(READ_SIZE);
    r->fail_status = want->fail_status;
    buf_add_str(&r->fail_body, want->fail_body);
    r->connect_timeout_ns = want->connect_timeout_ns;
    r->is_over = want->is_over;
    r->on_end = want->on_end;
    r->on_end_arg = want->on_end_arg;

    /* An upgrade of a request with a body would have to wait for that body: not passed on. */
    r->wants_upgrade = h->minor > 0 && http1_has_token(h, "Connection", "upgrade") &&
                       http1_get(h, "Upgrade").n > 0 && c->body.done;
    add_request_head(&r->up.out, c, want, &t, r->wants_upgrade);
    if (!buf_ok(&r->up.out) || !buf_ok(&r->fail_body)) {
        int failed = r->up.out.failed ? r->up.out.failed : r->fail_body.failed;
        relay_free(r);
        return -failed;
    }
    r->up.done = c->body.done;
    r->up.from = h->framing == HTTP1_CHUNKED ? FROM_CHUNKED : FROM_LENGTH;
    r->up.to_chunks = h->framing == HTTP1_CHUNKED;
    r->up.left = c->body.left;
    r->keep = h->keep_alive && !c->close_after;
    r->upstream.fd = fd_steal(&fd);
    c->relay = r;
    c->reply = REPLY_RELAY;
    atomic_fetch_add(&c->s->n_relays,
                     1); /* here, so that a stop that sees no handler sees the relay */
    return 0;
}

/* --- moving bytes --- */

enum moved {
    MOVED,        /* something; call again */
    MOVE_BLOCKED, /* until epoll tells */
    MOVE_DONE,    /* all is written */
    MOVE_SRC,     /* the source failed, or ended too early */
    MOVE_DST,     /* the destination failed */
    MOVE_BAD      /* the source's framing is broken */
};

static enum moved flush_out(struct flow *f, struct end *dst)
{
    if (!dst->writable)
        return MOVE_BLOCKED;
    ssize_t n = send(dst->fd, f->out.p + f->out_off, f->out.n - f->out_off,
                     MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR)
        return MOVED;
    if (n < 0 && errno == EAGAIN) {
        dst->writable = false;
        return MOVE_BLOCKED;
    }
    if (n < 0)
        return MOVE_DST;
    f->out_off += (size_t)n;
    f->bytes += (uint64_t)n;
    if (f->out_off == f->out.n) {
        buf_fini(&f->out); /* an idle relay holds no buffers */
        f->out_off = 0;
    }
    return MOVED;
}

/* Sends the pieces, or what the socket takes of them; the rest waits in out. Nothing is sent
 * past what waits already. */
static enum moved emit(struct flow *f, struct end *dst, struct iovec *v, size_t n)
{
    iov_advance(&v, &n, 0);
    if (f->out.n == 0 && dst->writable && n > 0) {
        struct msghdr m = { .msg_iov = v, .msg_iovlen = n };
        ssize_t sent = sendmsg(dst->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return MOVE_DST;
        if (sent < 0 && errno == EAGAIN)
            dst->writable = false;
        if (sent > 0) {
            f->bytes += (uint64_t)sent;
            iov_advance(&v, &n, (size_t)sent);
        }
    }
    for (; n > 0; v++, n--)
        if (v->iov_len > 0)
            buf_add(&f->out, v->iov_base, v->iov_len);
    return buf_ok(&f->out) ? MOVED : MOVE_DST;
}

/* Takes the body out of its chunks, in place. *used: bytes of p that belong to the body; data:
 * how much is left at p. */
static bool unchunk(struct flow *f, char *p, size_t n, size_t *used, size_t *data_n)
{
    size_t at = 0, kept = 0;

    while (at < n && !f->chunked.done) {
        struct str data;
        long r = http1_chunked_decode(&f->chunked, p + at, n - at, &data);
        if (r <= 0)
            return false;
        if (data.n > 0)
            memmove(p + kept, data.p, data.n);
        kept += data.n;
        at += (size_t)r;
    }
    f->done = f->chunked.done;
    *used = at;
    *data_n = kept;
    return true;
}

/* n bytes of the source are at p (and may be overwritten). *used says how many belong to this
 * message. */
static enum moved feed(struct flow *f, struct end *dst, char *p, size_t n, size_t *used)
{
    size_t data_n = n;
    char size[24];

    *used = n;
    if (f->from == FROM_LENGTH) {
        if (n > f->left)
            *used = data_n = (size_t)f->left;
        f->left -= data_n;
        f->done = f->left == 0;
    } else if (f->from == FROM_CHUNKED && !unchunk(f, p, n, used, &data_n)) {
        return MOVE_BAD;
    }
    struct iovec v[4] = { { size, 0 }, { p, data_n }, { NULL, 0 }, { NULL, 0 } };
    if (f->to_chunks && data_n > 0) {
        v[0].iov_len = (size_t)snprintf(size, sizeof size, "%zx\r\n", data_n);
        v[2] = (struct iovec){ iov_base("\r\n"), 2 };
    }
    if (f->to_chunks && f->done)
        v[3] = (struct iovec){ iov_base("0\r\n\r\n"), 5 };
    return emit(f, dst, v, ARRAY_LEN(v));
}

/* The source has ended. */
static enum moved feed_end(struct flow *f, struct end *dst)
{
    struct iovec v = { iov_base("0\r\n\r\n"), 5 };

    if (f->from != FROM_UNTIL_CLOSE && f->from != FROM_RAW)
        return MOVE_SRC;
    f->done = true;
    return f->to_chunks ? emit(f, dst, &v, 1) : MOVED;
}

/* Reads up to n bytes. > 0, 0 at the end, -EAGAIN, or another -errno. */
static long read_end(struct end *src, void *p, size_t n)
{
    ssize_t got = recv(src->fd, p, n, MSG_DONTWAIT);

    if (got < 0) {
        if (errno == EINTR)
            return -EAGAIN; /* and still readable */
        if (errno == EAGAIN)
            src->readable = false;
        return -errno;
    }
    /* Less than asked for: that was all, and more will be an edge. Except that a hang-up was
     * its own edge already. */
    if (got > 0 && (size_t)got < n && !src->hung_up)
        src->readable = false;
    return got;
}

/* One step of a flow: what waits goes out, else a piece of the source comes in. What the source
 * sent beyond the message is added to `beyond` (NULL: thrown away). */
static enum moved pump(struct http_server *s, struct flow *f, struct end *src, struct end *dst,
                       struct buf *beyond)
{
    if (f->out.n > 0)
        return flush_out(f, dst);
    if (f->done)
        return MOVE_DONE;
    if (!src->readable)
        return MOVE_BLOCKED;
    size_t want = f->from == FROM_LENGTH && f->left < READ_SIZE ? (size_t)f->left : READ_SIZE;
    long n = read_end(src, s->scratch, want);
    if (n == -EAGAIN)
        return src->readable ? MOVED : MOVE_BLOCKED;
    if (n < 0)
        return MOVE_SRC;
    if (n == 0)
        return feed_end(f, dst);
    size_t used = 0;
    enum moved m = feed(f, dst, s->scratch, (size_t)n, &used);
    if (beyond && m == MOVED && used < (size_t)n)
        buf_add(beyond, s->scratch + used, (size_t)n - used);
    return beyond && !buf_ok(beyond) ? MOVE_SRC : m;
}

/* --- the ends of a relay --- */

/* Takes the relay off the connection, whose socket is then not registered. */
static void finish(struct http_conn *c, unsigned status)
{
    struct http_server *s = c->s;
    struct relay *r = c->relay;

    c->relay = NULL;
    conn_disarm(c);
    (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, r->upstream.fd, NULL);
    if (s->cfg.on_done)
        s->cfg.on_done(c->head, status, s->now_ns - c->started_ns, s->cfg.arg);
    (void)pthread_mutex_lock(&s->lock);
    atomic_fetch_sub(&s->n_relays, 1);
    if (atomic_load(&s->stopping))
        (void)pthread_cond_broadcast(&s->quiet);
    (void)pthread_mutex_unlock(&s->lock);
    if (r->on_end)
        r->on_end(r->on_end_arg, status, r->up.bytes, r->down.bytes);
    relay_free(r);
}

/* The client is gone, or an answer broke off in the middle. */
static void cut(struct http_conn *c)
{
    const struct linger reset = { 1, 0 };

    if (c->relay->cut_visible)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    finish(c, 0);
    conn_close(c);
}

void relay_cancel(struct http_conn *c)
{
    cut(c);
}

bool relay_is_over(const struct http_conn *c)
{
    return c->relay->is_over && c->relay->is_over(c->relay->on_end_arg);
}

/* Upstream failed before a response head was through: the client gets our answer. */
static void fail(struct http_conn *c)
{
    struct relay *r = c->relay;
    AUTO_BUF struct buf answer = BUF_INIT(ANSWER_HEAD_MAX + READ_SIZE);
    bool keep = r->keep && r->up.done && !atomic_load(&c->s->stopping);
    enum answer_conn conn = !keep                ? ANSWER_CLOSE
                            : c->head->minor > 0 ? ANSWER_PLAIN
                                                 : ANSWER_KEEP;

    if (r->down.out.n > 0) { /* a 1xx is half out */
        cut(c);
        return;
    }
    answer_head(&answer, r->fail_status, "application/json", NULL, ANSWER_LENGTH,
                r->fail_body.n, conn);
    if (!c->is_head)
        buf_add_str(&answer, buf_str(&r->fail_body));
    bool sent = buf_ok(&answer) && send(c->fd, answer.p, answer.n,
                                        MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)answer.n;
    finish(c, sent ? r->fail_status : 0);
    if (!sent)
        conn_close(c);
    else if (keep)
        conn_next_request(c);
    else
        conn_linger(c);
}

static void fail_or_cut(struct http_conn *c)
{
    if (c->relay->phase < PHASE_BODY)
        fail(c);
    else
        cut(c);
}

/* The client broke off its request: by broken framing, or by sending no more. */
static void refuse(struct http_conn *c, unsigned status, const char *message)
{
    struct relay *r = c->relay;

    if (r->phase >= PHASE_BODY || r->down.out.n > 0) {
        cut(c);
        return;
    }
    finish(c, status);
    conn_answer(c, status, message, NULL);
}

static void bad_request(struct http_conn *c)
{
    refuse(c, 400, "the request body has bad chunks");
}

static void complete(struct http_conn *c)
{
    const struct relay *r = c->relay;
    bool keep = r->keep && r->up.done;

    finish(c, r->status);
    if (keep)
        conn_next_request(c);
    else
        conn_linger(c);
}

/* --- the response head --- */

static bool valid_length(const struct http1_head *h, uint64_t *n)
{
    struct str v = http1_get(h, "Content-Length");

    return v.n > 0 && num_parse_u64(v, 0, UINT64_MAX, n) == 0;
}

/* Decides how the body comes in and how it goes out, and says so in the head. */
static void frame_response(struct http_conn *c, const struct http1_head *h, struct buf *b)
{
    struct relay *r = c->relay;
    struct flow *f = &r->down;
    bool old = c->head->minor == 0;
    uint64_t n;

    switch (h->framing) {
    case HTTP1_NO_BODY:
        f->from = FROM_NOTHING;
        f->done = true;
        if ((c->is_head || h->status == 304) && valid_length(h, &n))
            add_length(b, n); /* of the body that is not there */
        return;
    case HTTP1_LENGTH:
        f->from = FROM_LENGTH;
        f->left = h->content_length;
        f->done = f->left == 0;
        add_length(b, h->content_length);
        return;
    case HTTP1_CHUNKED:
        f->from = FROM_CHUNKED;
        break;
    case HTTP1_UNTIL_CLOSE:
        f->from = FROM_UNTIL_CLOSE;
        break;
    }
    f->to_chunks = !old;
    if (old) {
        r->keep = false;
        r->cut_visible = true;
    } else {
        buf_add_cstr(b, "Transfer-Encoding: chunked\r\n");
    }
}

static void add_status_line(struct buf *b, unsigned status)
{
    buf_addf(b, "HTTP/1.1 %u %s\r\n", status, http1_status_text(status));
}

/* 100, 103 and the like: passed on to clients that know them. */
static bool interim_head(struct http_conn *c, const struct http1_head *h,
                         const struct tokens *t)
{
    struct relay *r = c->relay;

    if (++r->interims > INTERIM_MAX)
        return false;
    if (c->head->minor > 0) {
        add_status_line(&r->down.out, h->status);
        add_end_to_end(&r->down.out, h, t, NULL);
        buf_add_cstr(&r->down.out, "\r\n");
    }
    return buf_ok(&r->down.out);
}

static bool tunnel_head(struct http_conn *c, const struct http1_head *h, const struct tokens *t)
{
    struct relay *r = c->relay;
    struct buf *b = &r->down.out;
    struct str protocol = http1_get(h, "Upgrade");

    if (!r->wants_upgrade || r->up.is_dead || protocol.n == 0)
        return false;
    add_status_line(b, 101);
    add_end_to_end(b, h, t, NULL);
    buf_add_cstr(b, "Connection: upgrade\r\nUpgrade: ");
    buf_add_str(b, protocol);
    buf_add_cstr(b, "\r\n\r\n");
    r->phase = PHASE_TUNNEL;
    r->keep = false;
    r->up.from = r->down.from = FROM_RAW;
    r->up.done = r->down.done = false;
    /* What the client sent ahead belongs to the tunnel. */
    if (c->in_off < c->in.n)
        buf_add(&r->up.out, c->in.p + c->in_off, c->in.n - c->in_off);
    if (c->ahead.n > 0)
        buf_add_str(&r->up.out, buf_str(&c->ahead));
    c->in_off = c->in.n;
    buf_fini(&c->ahead);
    return buf_ok(b) && buf_ok(&r->up.out);
}

static bool final_head(struct http_conn *c, const struct http1_head *h, const struct tokens *t)
{
    struct relay *r = c->relay;
    struct buf *b = &r->down.out;

    add_status_line(b, h->status);
    add_end_to_end(b, h, t, NULL);
    frame_response(c, h, b);
    /* An answer before the end of the body: the client may not finish it, so nothing can
     * follow. */
    r->keep = r->keep && r->up.done && !r->up.is_dead && !atomic_load(&c->s->stopping);
    if (!r->keep)
        buf_add_cstr(b, "Connection: close\r\n");
    else if (c->head->minor == 0)
        buf_add_cstr(b, "Connection: keep-alive\r\n");
    buf_add_cstr(b, "\r\n");
    r->phase = PHASE_BODY;
    r->status = h->status;
    return buf_ok(b);
}

/* Looks at what is in r->head. MOVED: a head was taken. */
static enum moved parse_response(struct http_conn *c)
{
    struct http_server *s = c->s;
    struct relay *r = c->relay;
    struct http1_head *h = &s->response;
    enum http1_reason why;
    struct tokens t;

    if (r->head.n == r->look.seen || !look_worth(&r->look, &r->head))
        return MOVE_BLOCKED;
    int n = http1_parse_response(r->head.p, r->head.n, c->is_head, h, &why);
    if (n == 0)
        return r->head.n >= IN_MAX ? MOVE_BAD : MOVE_BLOCKED;
    bool ok = n > 0 && connection_tokens(h, &t);
    if (ok && h->status == 101)
        ok = tunnel_head(c, h, &t);
    else if (ok && h->status < 200)
        ok = interim_head(c, h, &t);
    else if (ok)
        ok = final_head(c, h, &t);
    if (!ok) {
        buf_clear(&r->down.out);
        r->phase = PHASE_HEAD; /* nothing of it has been sent */
        return MOVE_BAD;
    }
    buf_consume(&r->head, (size_t)n);
    r->look.seen = 0; /* but not its work: many 1xx heads are one sender's */
    if (r->phase == PHASE_HEAD)
        return MOVED;
    size_t used = 0;
    enum moved m = MOVED;
    if (r->head.n > 0 && !r->down.done)
        m = feed(&r->down, &r->client, r->head.p, r->head.n, &used);
    buf_fini(&r->head);
    return m;
}

static enum moved read_response(struct http_conn *c)
{
    struct relay *r = c->relay;

    if (r->down.out.n > 0) /* a 1xx */
        return flush_out(&r->down, &r->client);
    enum moved m = parse_response(c);
    if (m != MOVE_BLOCKED)
        return m;
    if (!r->upstream.readable)
        return MOVE_BLOCKED;
    long n = read_end(&r->upstream, c->s->scratch, IN_MAX - r->head.n);
    if (n == -EAGAIN)
        return r->upstream.readable ? MOVED : MOVE_BLOCKED;
    if (n <= 0)
        return MOVE_SRC;
    if (r->head.n == 0)
        r->head_since_ns = c->s->now_ns;
    buf_add(&r->head, c->s->scratch, (size_t)n);
    return buf_ok(&r->head) ? MOVED : MOVE_BAD;
}

/* --- one turn --- */

/* The request towards upstream. False: the relay is over. */
static bool step_up(struct http_conn *c, bool *moved)
{
    struct relay *r = c->relay;

    if (r->up.is_dead)
        return true;
    enum moved m = pump(c->s, &r->up, &r->client, &r->upstream, &c->ahead);
    switch (m) {
    case MOVED:
        *moved = true;
        return true;
    case MOVE_BLOCKED:
        return true;
    case MOVE_DONE:
        if (r->phase == PHASE_TUNNEL && !r->up.is_shut) {
            r->up.is_shut = true;
            (void)shutdown(r->upstream.fd, SHUT_WR);
        }
        return true;
    case MOVE_DST:
        if (r->phase == PHASE_TUNNEL)
            break;
        /* Upstream reads no more. It may have answered before: the answer is still to be
         * had. */
        r->up.is_dead = true;
        r->upstream.readable = true;
        *moved = true;
        return true;
    case MOVE_BAD:
        bad_request(c);
        return false;
    case MOVE_SRC:
        break;
    }
    cut(c);
    return false;
}

/* The answer towards the client. False: the relay is over. */
static bool step_down(struct http_conn *c, bool *moved)
{
    struct relay *r = c->relay;
    enum moved m = r->phase == PHASE_HEAD
                       ? read_response(c)
                       : pump(c->s, &r->down, &r->upstream, &r->client, NULL);

    switch (m) {
    case MOVED:
        *moved = true;
        return true;
    case MOVE_BLOCKED:
        return true;
    case MOVE_DONE:
        if (r->phase != PHASE_TUNNEL) {
            complete(c);
            return false;
        }
        if (!r->down.is_shut) {
            r->down.is_shut = true;
            (void)shutdown(c->fd, SHUT_WR);
        }
        return true;
    case MOVE_SRC:
    case MOVE_BAD:
        fail_or_cut(c);
        return false;
    case MOVE_DST:
        break;
    }
    cut(c);
    return false;
}

static uint64_t later(uint64_t at_ns, uint64_t span_ns)
{
    return span_ns > NEVER - at_ns ? NEVER : at_ns + span_ns;
}

/* Waiting for a peer that does not take what it was sent, for the rest of a head, for the other
 * half of a tunnel or for an answer to a half-closed client is bounded; so is, more generously, waiting for the rest of a request.
 * Waiting for an answer to begin or to go on is not: commands run for hours, and TCP's own
 * probes find a client that vanished. */
static void set_deadline(struct http_conn *c)
{
    const struct http_config *cfg = &c->s->cfg;
    const struct relay *r = c->relay;
    uint64_t at = NEVER;

    if (r->phase == PHASE_CONNECT)
        at = r->connect_until_ns;
    else if (r->client.hung_up && r->phase != PHASE_TUNNEL)
        at = later(r->progress_ns, cfg->half_closed_ns);
    else if (r->up.out.n > 0 || r->down.out.n > 0 || r->up.is_shut || r->down.is_shut)
        at = later(r->progress_ns, cfg->io_timeout_ns);
    else if (!r->up.done && !(r->phase == PHASE_HEAD && r->head.n > 0) && !r->up.is_dead)
        at = later(r->progress_ns, cfg->idle_timeout_ns);
    if (r->phase == PHASE_HEAD && r->head.n > 0) { /* whatever the client does meanwhile */
        uint64_t head = later(r->head_since_ns, cfg->head_timeout_ns);
        at = head < at ? head : at;
    }
    conn_deadline(c, at);
}

/* Is the connection to upstream there? False: the relay is over. */
static bool check_connected(struct http_conn *c)
{
    struct relay *r = c->relay;
    int failed = 0;
    socklen_t len = sizeof failed;

    if (getsockopt(r->upstream.fd, SOL_SOCKET, SO_ERROR, &failed, &len) != 0 || failed != 0) {
        fail(c);
        return false;
    }
    r->phase = PHASE_HEAD;
    r->progress_ns = c->s->now_ns;
    /* The head, and what is here of the body, in one segment if it can be. */
    if (c->in_off < c->in.n && !r->up.done) {
        size_t used = 0, here = c->in.n - c->in_off;
        memcpy(c->s->scratch, c->in.p + c->in_off,
               here); /* the head stays as it is: on_done wants it */
        if (feed(&r->up, &r->upstream, c->s->scratch, here, &used) != MOVED) {
            bad_request(c); /* out waits, so that nothing can have failed but the framing */
            return false;
        }
        c->in_off += used; /* the rest is the next request */
    }
    return true;
}

static void relay_ready(struct http_conn *c)
{
    if (c->ready)
        return;
    c->ready = true;
    c->ready_next = c->s->ready;
    c->s->ready = c;
}

void relay_run(struct http_conn *c)
{
    struct relay *r = c->relay;

    if (r->phase == PHASE_CONNECT) {
        if (!r->upstream.writable && !r->upstream.hung_up)
            return;
        if (!check_connected(c))
            return;
    }
    /* The client is gone: so is whoever wanted the answer. One that is half-closed may wait for
     * it still. */
    if (r->client.is_gone && r->phase != PHASE_TUNNEL) {
        cut(c);
        return;
    }
    bool moved = true;
    for (unsigned i = 0; i < STEPS_MAX && moved; i++) {
        moved = false;
        if (!step_up(c, &moved) || !step_down(c, &moved))
            return;
        if (moved)
            r->progress_ns = c->s->now_ns;
        if (r->phase == PHASE_TUNNEL && r->up.is_shut && r->down.is_shut) {
            finish(c, 101);
            conn_linger(c);
            return;
        }
    }
    if (moved)
        relay_ready(c);
    set_deadline(c);
}

void relay_event(struct http_conn *c, bool upstream, uint32_t events)
{
    struct relay *r = c->relay;
    struct end *e = upstream ? &r->upstream : &r->client;

    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        if (!e->hung_up)
            r->progress_ns = c->s->now_ns; /* half_closed_ns counts from here */
        e->hung_up = e->readable = true;
    }
    e->is_gone |= (events & (EPOLLHUP | EPOLLERR)) != 0;
    if (events & EPOLLIN)
        e->readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        e->writable = true;
    relay_ready(c); /* not at once: the other socket's event may be next in this turn */
}

void relay_expire(struct http_conn *c)
{
    const struct relay *r = c->relay;

    if (r->phase == PHASE_HEAD && r->up.out.n == 0 && !r->up.done && !r->up.is_dead &&
        r->head.n == 0)
        refuse(c, 408, "the request body took too long");
    else
        fail_or_cut(c);
}

void relay_start(struct http_conn *c)
{
    struct http_server *s = c->s;
    struct relay *r = c->relay;
    const uint32_t all = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
    struct epoll_event up = { .events = all, .data.ptr = &r->watch };
    struct epoll_event client = { .events = all, .data.ptr = &c->watch };

    c->state = CONN_RELAY;
    r->watch = (struct watch){ WATCH_UPSTREAM, c };
    r->client.fd = c->fd;
    r->progress_ns = s->now_ns;
    r->connect_until_ns = later(s->now_ns, r->connect_timeout_ns);
    if (relay_is_over(c)) {
        cut(c);
        return;
    }
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, r->upstream.fd, &up) != 0) {
        fail(c);
        return;
    }
    if (epoll_ctl(s->epoll_fd, c->registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &client) !=
        0) {
        cut(c);
        return;
    }
    c->registered = true;
    set_deadline(c);
}
