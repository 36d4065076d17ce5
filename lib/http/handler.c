/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "http/server_priv.h"

#define SENDFILE_MAX (1u << 20) /* of one call, so that progress is noticed */

/* --- waiting --- */

/* poll that survives signals. > 0 ready, 0 timed out, -errno. */
static int poll_for(struct pollfd *p, nfds_t n, uint64_t timeout_ns)
{
    uint64_t now = clock_mono_ns();
    uint64_t until = timeout_ns > NEVER - now ? NEVER : now + timeout_ns;

    for (;;) {
        uint64_t left = until > now ? until - now : 0;
        struct timespec ts = { (time_t)(left / NS_PER_S), (long)(left % NS_PER_S) };
        int r = ppoll(p, n, until == NEVER ? NULL : &ts, NULL);
        if (r >= 0)
            return r;
        if (errno != EINTR)
            return -errno;
        now = clock_mono_ns();
    }
}

static int wait_io(struct http_conn *c, short events)
{
    struct pollfd p = { c->fd, events, 0 };
    int r = poll_for(&p, 1, c->s->cfg.io_timeout_ns);

    return r > 0 ? 0 : r == 0 ? -ETIMEDOUT : r;
}

bool http_peer_gone(struct http_conn *c)
{
    struct pollfd p = { c->fd, POLLRDHUP, 0 };

    return poll_for(&p, 1, 0) > 0;
}

int http_wait(struct http_conn *c, int fd, uint64_t timeout_ns)
{
    struct pollfd p[2] = { { c->fd, POLLRDHUP, 0 }, { fd, POLLIN, 0 } };
    int r = poll_for(p, fd >= 0 ? 2 : 1, timeout_ns);

    if (r <= 0)
        return r;
    return p[0].revents ? -EPIPE : 1;
}

/* --- reading and writing the socket --- */

static long sock_read(struct http_conn *c, void *buf, size_t n)
{
    for (;;) {
        ssize_t got = recv(c->fd, buf, n, MSG_DONTWAIT);
        if (got >= 0)
            return got;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return -errno;
        int r = wait_io(c, POLLIN);
        if (r != 0)
            return r;
    }
}

/* All of it. The first failure sticks: after it the framing of the connection is lost. */
static int sock_write(struct http_conn *c, struct iovec *v, size_t n)
{
    iov_advance(&v, &n, 0); /* drops empty parts */
    while (n > 0 && c->broken == 0) {
        struct msghdr m = { .msg_iov = v, .msg_iovlen = n };
        ssize_t sent = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0)
            iov_advance(&v, &n, (size_t)sent);
        else if (errno == EAGAIN)
            c->broken = wait_io(c, POLLOUT);
        else if (errno != EINTR)
            c->broken = -errno;
    }
    return c->broken;
}

/* --- the request --- */

const struct http1_head *http_head(const struct http_conn *c)
{
    return c->head;
}

struct str http_path(const struct http_conn *c)
{
    struct str path, query;

    (void)str_cut(c->head->target, '?', &path, &query);
    return path;
}

struct str http_query(const struct http_conn *c)
{
    struct str path, query;

    (void)str_cut(c->head->target, '?', &path, &query);
    return query;
}

const char *http_peer(const struct http_conn *c)
{
    return c->peer;
}

void http_body_set_max(struct http_conn *c, uint64_t max)
{
    c->body.max = max;
}

/* Before the first read of a body: is it too long, and does the client wait to be asked for
 * it? */
static int body_start(struct http_conn *c)
{
    struct body *b = &c->body;

    b->started = true;
    if (b->framing == HTTP1_LENGTH && b->left > b->max)
        return -EMSGSIZE;
    if (c->head->expect_continue && c->head->minor > 0 && !b->done && c->reply == REPLY_NONE) {
        struct iovec v = { iov_base("HTTP/1.1 100 Continue\r\n\r\n"), 25 };
        b->continued = true;
        return sock_write(c, &v, 1);
    }
    return 0;
}

/* What was read ahead, else from the socket. */
static long body_source(struct http_conn *c, void *buf, size_t n)
{
    size_t here = c->in.n - c->in_off;

    if (here == 0)
        return sock_read(c, buf, n);
    if (n > here)
        n = here;
    memcpy(buf, c->in.p + c->in_off, n);
    c->in_off += n;
    return (long)n;
}

static long read_length(struct http_conn *c, void *buf, size_t n)
{
    struct body *b = &c->body;
    long got = body_source(c, buf, n < b->left ? n : (size_t)b->left);

    if (got <= 0)
        return got == 0 ? -ECONNRESET : got;
    b->left -= (uint64_t)got;
    b->done = b->left == 0;
    return got;
}

/* Decodes in place: what is left after the framing is taken out moves to the front of buf. */
static long read_chunked(struct http_conn *c, char *buf, size_t n)
{
    struct body *b = &c->body;
    size_t data_n = 0;

    if (n > READ_SIZE)
        n = READ_SIZE; /* bounds what can be left of the next request */
    while (data_n == 0 && !b->done) {
        long got = body_source(c, buf, n);
        if (got <= 0)
            return got == 0 ? -ECONNRESET : got;
        long used = http1_chunked_decode_in_place(&b->chunked, buf, (size_t)got, &data_n);
        if (used < 0)
            return -EPROTO;
        b->done = b->chunked.done;
        if (used < got) {
            buf_add(&c->ahead, buf + used, (size_t)(got - used));
            if (c->in_off < c->in.n) /* what is still there comes after it */
                buf_add(&c->ahead, c->in.p + c->in_off, c->in.n - c->in_off);
            c->in_off = c->in.n;
            if (!buf_ok(&c->ahead))
                return -ENOMEM;
        }
    }
    if (b->delivered + data_n > b->max)
        return -EMSGSIZE;
    return (long)data_n;
}

long http_body_read(struct http_conn *c, void *buf, size_t n)
{
    struct body *b = &c->body;
    long got = 0;

    if (b->failed != 0)
        return b->failed;
    if (!b->started)
        got = body_start(c);
    if (got == 0 && !b->done && n > 0)
        got = b->framing == HTTP1_CHUNKED ? read_chunked(c, buf, n) : read_length(c, buf, n);
    if (got < 0)
        b->failed = (int)got;
    else
        b->delivered += (uint64_t)got;
    return got;
}

int http_body_all(struct http_conn *c, struct buf *out)
{
    for (;;) {
        size_t room = c->body.framing == HTTP1_LENGTH && c->body.left < 16384
                          ? (size_t)c->body.left + 1 /* never 0: the read that finds the end */
                          : 16384;
        if (room > out->max - out->n)
            room = out->max - out->n;
        /* A full buffer may be just right: then the next read finds the end. */
        char one;
        char *p = room > 0 ? buf_reserve(out, room) : &one;
        if (!p)
            return -(out->failed ? out->failed : ENOMEM);
        long got = http_body_read(c, p, room > 0 ? room : 1);
        if (got <= 0)
            return (int)got;
        if (room == 0)
            return -EMSGSIZE;
        out->n += (size_t)got;
        out->p[out->n] = '\0';
    }
}

/* --- the answer --- */

bool http_replied(const struct http_conn *c)
{
    return c->reply != REPLY_NONE;
}

void http_close_after(struct http_conn *c)
{
    c->close_after = true;
}

/* May the connection carry another request after this answer? Said in the answer, so decided
 * when it begins. */
static bool can_keep(const struct http_conn *c)
{
    const struct body *b = &c->body;

    if (!c->head->keep_alive || c->close_after || b->failed != 0 ||
        atomic_load(&c->s->stopping))
        return false;
    if (c->head->expect_continue && !b->continued && !b->done)
        return false; /* the client may send the body or not: who knows what comes next */
    return b->done || b->framing != HTTP1_LENGTH || b->left <= DRAIN_MAX;
}

static enum answer_conn say_keep(const struct http_conn *c)
{
    if (!c->keep)
        return ANSWER_CLOSE;
    return c->head->minor == 0 ? ANSWER_KEEP : ANSWER_PLAIN;
}

/* Sends head and body in one go. */
static int send_head(struct http_conn *c, struct buf *head, struct str body)
{
    struct iovec v[2] = { { head->p, head->n }, { iov_base(body.p), body.n } };

    if (!buf_ok(head)) {
        c->broken = -head->failed;
        return c->broken;
    }
    return sock_write(c, v, 2);
}

static bool status_has_body(unsigned status)
{
    return status != 204 && status != 304;
}

int http_reply(struct http_conn *c, unsigned status, const char *content_type,
               const char *headers, struct str body)
{
    AUTO_BUF struct buf head = BUF_INIT(ANSWER_HEAD_MAX);

    if (c->reply != REPLY_NONE || status < 200 || status > 599 ||
        !answer_headers_ok(headers, content_type))
        return -EINVAL;
    c->keep = can_keep(c);
    c->status = status;
    c->reply = REPLY_DONE;
    answer_head(&head, status, content_type, headers,
                status_has_body(status) ? ANSWER_LENGTH : ANSWER_NONE, body.n, say_keep(c));
    return send_head(c, &head,
                     c->is_head || !status_has_body(status) ? (struct str){ 0 } : body);
}

int http_reply_begin(struct http_conn *c, unsigned status, const char *content_type,
                     const char *headers, uint64_t length)
{
    AUTO_BUF struct buf head = BUF_INIT(ANSWER_HEAD_MAX);
    enum answer_length how = ANSWER_NONE;

    if (c->reply != REPLY_NONE || status < 200 || status > 599 ||
        !answer_headers_ok(headers, content_type))
        return -EINVAL;
    c->keep = can_keep(c);
    c->status = status;
    c->no_body = c->is_head || !status_has_body(status);
    if (length != HTTP_LENGTH_UNKNOWN) {
        c->reply = REPLY_LENGTH;
        c->reply_left = length;
        how = ANSWER_LENGTH;
    } else if (c->head->minor > 0) {
        c->reply = REPLY_CHUNKED;
        how = ANSWER_CHUNKED;
    } else {
        c->reply = REPLY_UNTIL_CLOSE;
        c->keep = c->keep && c->no_body;
    }
    if (!status_has_body(status))
        how = ANSWER_NONE;
    answer_head(&head, status, content_type, headers, how, length, say_keep(c));
    return send_head(c, &head, (struct str){ 0 });
}

/* Is there an answer that n more bytes belong to? */
static int check_write(const struct http_conn *c, uint64_t n)
{
    if (c->reply != REPLY_CHUNKED && c->reply != REPLY_UNTIL_CLOSE && c->reply != REPLY_LENGTH)
        return -EINVAL;
    if (c->reply == REPLY_LENGTH && n > c->reply_left)
        return -EINVAL;
    return c->broken;
}

int http_write(struct http_conn *c, const void *p, size_t n)
{
    int r = check_write(c, n);

    if (r != 0 || n == 0)
        return r;
    if (c->reply == REPLY_LENGTH)
        c->reply_left -= n;
    if (c->no_body)
        return 0;
    if (c->reply != REPLY_CHUNKED) {
        struct iovec v = { iov_base(p), n };
        return sock_write(c, &v, 1);
    }
    char size[24];
    int size_n = snprintf(size, sizeof size, "%zx\r\n", n);
    struct iovec v[3] = { { size, (size_t)size_n },
                          { iov_base(p), n },
                          { iov_base("\r\n"), 2 } };
    return sock_write(c, v, 3);
}

/* For files that sendfile cannot do (some of /proc). */
static int copy_some(struct http_conn *c, int fd, uint64_t offset, uint64_t n, uint64_t *done)
{
    char piece[16384];
    ssize_t got = pread(fd, piece, n < sizeof piece ? (size_t)n : sizeof piece, (off_t)offset);

    if (got < 0)
        return errno == EINTR ? 0 : -errno;
    if (got == 0)
        return -EIO;
    struct iovec v = { piece, (size_t)got };
    *done = (uint64_t)got;
    return sock_write(c, &v, 1);
}

static int send_some(struct http_conn *c, int fd, uint64_t offset, uint64_t n, uint64_t *done)
{
    off_t at = (off_t)offset;
    ssize_t sent = sendfile(c->fd, fd, &at, n < SENDFILE_MAX ? (size_t)n : SENDFILE_MAX);

    if (sent > 0)
        *done = (uint64_t)sent;
    else if (sent == 0)
        return -EIO;
    else if (errno == EAGAIN)
        return wait_io(c, POLLOUT);
    else if (errno == EINVAL || errno == ENOSYS)
        return copy_some(c, fd, offset, n, done);
    else if (errno != EINTR)
        return -errno;
    return 0;
}

int http_write_file(struct http_conn *c, int fd, uint64_t offset, uint64_t n)
{
    int r = check_write(c, n);
    char size[24];

    if (r == 0 && (offset > INT64_MAX || n > INT64_MAX - offset))
        r = -EINVAL;
    if (r != 0 || n == 0)
        return r;
    if (c->reply == REPLY_LENGTH)
        c->reply_left -= n;
    if (c->no_body)
        return 0;
    if (c->reply == REPLY_CHUNKED) {
        struct iovec v = { size, (size_t)snprintf(size, sizeof size, "%llx\r\n",
                                                  (unsigned long long)n) };
        r = sock_write(c, &v, 1);
    }
    while (r == 0 && n > 0) {
        uint64_t done = 0;
        r = send_some(c, fd, offset, n, &done);
        offset += done;
        n -= done;
    }
    if (r == 0 && c->reply == REPLY_CHUNKED) {
        struct iovec v = { iov_base("\r\n"), 2 };
        r = sock_write(c, &v, 1);
    }
    if (r != 0 && c->broken == 0)
        c->broken = r; /* bytes are missing in the middle: nothing may follow */
    return r;
}

int http_reply_end(struct http_conn *c)
{
    int r = check_write(c, 0);

    if (r != 0)
        return r;
    if (c->reply == REPLY_LENGTH && c->reply_left > 0 && !c->no_body)
        return -EINVAL;
    if (c->reply == REPLY_CHUNKED && !c->no_body) {
        struct iovec v = { iov_base("0\r\n\r\n"), 5 };
        r = sock_write(c, &v, 1);
    }
    c->reply = REPLY_DONE;
    return r;
}

/* --- upgrade --- */

int http_upgrade(struct http_conn *c, const char *headers)
{
    AUTO_BUF struct buf head = BUF_INIT(ANSWER_HEAD_MAX);

    if (c->reply != REPLY_NONE || c->head->minor == 0 || !c->body.done ||
        !answer_headers_ok(headers, NULL))
        return -EINVAL;
    c->keep = false;
    c->status = 101;
    c->reply = REPLY_RAW;
    answer_head(&head, 101, NULL, headers, ANSWER_NONE, 0, ANSWER_PLAIN);
    return send_head(c, &head, (struct str){ 0 });
}

long http_raw_read(struct http_conn *c, void *buf, size_t n)
{
    return c->reply == REPLY_RAW ? body_source(c, buf, n) : -EINVAL;
}

int http_raw_write(struct http_conn *c, const void *p, size_t n)
{
    struct iovec v = { iov_base(p), n };

    return c->reply == REPLY_RAW ? sock_write(c, &v, 1) : -EINVAL;
}

/* --- around a handler --- */

static void reply_missing(struct http_conn *c)
{
    AUTO_BUF struct buf body = BUF_INIT(ANSWER_HEAD_MAX);

    answer_error_body(&c->s->cfg, 500, "the server gave no answer", &body);
    c->close_after = true;
    (void)http_reply(c, 500, "application/json", NULL, buf_str(&body));
}

void handler_run(struct http_conn *c)
{
    struct http_server *s = c->s;

    s->cfg.handler(c, s->cfg.arg);
    if (c->reply == REPLY_RELAY) {
        c->after = AFTER_RELAY;
        return;
    }
    bool lost = c->broken != 0;
    if (c->reply == REPLY_NONE) {
        lost = http_peer_gone(c);
        if (!lost)
            reply_missing(c);
    }
    if (c->reply == REPLY_LENGTH && (c->reply_left == 0 || c->no_body))
        c->reply = REPLY_DONE;
    if (s->cfg.on_done)
        s->cfg.on_done(c->head, lost ? 0 : c->status, clock_mono_ns() - c->started_ns,
                       s->cfg.arg);

    bool whole = c->reply == REPLY_DONE && c->broken == 0;
    if (!whole && c->reply != REPLY_RAW)
        c->after = AFTER_CLOSE; /* cut off in the middle: the peer must not take it for whole */
    else if (!c->keep || c->broken != 0 || c->body.failed != 0)
        c->after = AFTER_LINGER;
    else if (!c->body.done)
        c->after = AFTER_DRAIN;
    else
        c->after = AFTER_NEXT;
    if (c->after == AFTER_NEXT && c->in_off == c->in.n && c->ahead.n == 0) {
        buf_fini(&c->in); /* an idle connection costs its struct and its socket */
        c->in_off = 0;
        c->look = (struct look){ 0 };
        free(c->head);
        c->head = NULL;
    }
}
