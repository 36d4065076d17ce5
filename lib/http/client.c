/* SPDX-License-Identifier: Apache-2.0 */
#include "http/client.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"

#define IN_MAX      65536u
#define REQUEST_MAX 262144u /* bytes of a request head */
#define INTERIM_MAX 16u

void http_client_init(struct http_client *c, int fd, uint64_t io_timeout_ns)
{
    *c = (struct http_client){
        .fd = fd,
        .io_timeout_ns = io_timeout_ns,
        .in = BUF_INIT(IN_MAX),
        .head_bytes = BUF_INIT(HTTP1_HEAD_MAX),
    };
}

void http_client_fini(struct http_client *c)
{
    if (c->fd >= 0)
        (void)close(c->fd);
    c->fd = -1;
    buf_fini(&c->in);
    buf_fini(&c->head_bytes);
}

/* --- waiting and the socket --- */

static int wait_fd(int fd, short events, uint64_t timeout_ns)
{
    uint64_t now = clock_mono_ns();
    uint64_t until =
        timeout_ns == 0 || timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;

    for (;;) {
        struct pollfd p = { fd, events, 0 };
        uint64_t left = until > now ? until - now : 0;
        struct timespec ts = { (time_t)(left / NS_PER_S), (long)(left % NS_PER_S) };
        int r = ppoll(&p, 1, until == UINT64_MAX ? NULL : &ts, NULL);
        if (r > 0)
            return 0;
        if (r == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
        now = clock_mono_ns();
    }
}

static int send_all(struct http_client *c, struct iovec *v, size_t n, struct err *e)
{
    while (n > 0) {
        struct msghdr m = { .msg_iov = v, .msg_iovlen = n };
        ssize_t sent = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            int r = wait_fd(c->fd, POLLOUT, c->io_timeout_ns);
            if (r != 0)
                return err_set(e, -r, "send request");
        } else if (sent < 0 && errno != EINTR) {
            return err_set(e, errno, "send request");
        } else if (sent > 0) {
            size_t left = (size_t)sent;
            for (; n > 0 && left >= v->iov_len; v++, n--)
                left -= v->iov_len;
            if (n > 0) {
                v->iov_base = (char *)v->iov_base + left;
                v->iov_len -= left;
            }
        }
    }
    return 0;
}

/* > 0, 0 at the end of the stream, -errno. */
static long recv_some(struct http_client *c, void *buf, size_t n, struct err *e)
{
    for (;;) {
        ssize_t got = recv(c->fd, buf, n, MSG_DONTWAIT);
        if (got >= 0)
            return got;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return err_set(e, errno, "read response");
        int r = wait_fd(c->fd, POLLIN, c->io_timeout_ns);
        if (r != 0)
            return err_set(e, -r, "read response");
    }
}

/* --- finding the server --- */

int http_client_parse_url(const char *url, char host[256], unsigned *port, char prefix[256],
                          struct err *e)
{
    struct str rest = str_from(url), where, path = { 0 };
    uint64_t number = 80;

    if (str_starts(rest, STR("https://")))
        return err_say(e, EINVAL,
                       "https is not supported here; use http:// to a local address, or a TLS "
                       "proxy in front");
    if (!str_starts(rest, STR("http://")))
        return err_say(e, EINVAL, "it does not start with http://");
    rest = str_sub(rest, 7, rest.n);
    size_t at = rest.n;
    (void)str_find(rest, '/', &at);
    where = str_sub(rest, 0, at);
    path = str_sub(rest, at, rest.n);
    while (str_ends(path, STR("/")))
        path.n--;
    for (size_t i = 0; i < rest.n; i++)
        if ((unsigned char)rest.p[i] <= ' ' || strchr("@?#\x7f", rest.p[i]))
            return err_say(e, EINVAL, "only host, port and path may be given");

    struct str name = where, digits = { 0 };
    bool has_port;
    if (str_starts(where, STR("["))) { /* [::1]:80 */
        struct str after;
        if (!str_cut(where, ']', &name, &after))
            return err_say(e, EINVAL, "'[' without ']'");
        name = str_sub(name, 1, name.n);
        has_port = after.n > 0;
        if (has_port && after.p[0] != ':')
            return err_say(e, EINVAL, "no port after ']'");
        digits = str_sub(after, 1, after.n);
    } else {
        has_port = str_cut(where, ':', &name, &digits);
    }
    if (has_port && num_parse_u64(digits, 1, 65535, &number) != 0)
        return err_say(e, EINVAL, "the port is not 1 to 65535");
    if (name.n == 0 || name.n > 255)
        return err_say(e, EINVAL, "it names no host");
    if (path.n > 255)
        return err_say(e, EINVAL, "the path is too long");
    (void)str_copy(name, host, 256); /* both fit: checked above */
    (void)str_copy(path, prefix, 256);
    *port = (unsigned)number;
    return 0;
}

/* Connects to one address. An fd or -errno. */
static int connect_one(const struct addrinfo *ai, uint64_t timeout_ns)
{
    const int on = 1;
    AUTO_CLOSE int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
        return fd_steal(&fd);
    if (errno != EINPROGRESS)
        return -errno;
    int r = wait_fd(fd, POLLOUT, timeout_ns);
    if (r != 0)
        return r;
    int failed = 0;
    socklen_t len = sizeof failed;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) != 0)
        return -errno;
    return failed ? -failed : fd_steal(&fd);
}

int http_client_connect(const char *host, unsigned port, uint64_t timeout_ns, struct err *e)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *list = NULL;
    char service[12];
    int r = -EADDRNOTAVAIL;

    (void)snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(host, service, &hints, &list);
    if (failed != 0)
        return err_say(e, EHOSTUNREACH, "find '%s': %s", host, gai_strerror(failed));
    for (const struct addrinfo *ai = list; ai; ai = ai->ai_next)
        if ((r = connect_one(ai, timeout_ns)) >= 0)
            break;
    freeaddrinfo(list);
    return r >= 0 ? r : err_set(e, -r, "connect to %s port %u", host, port);
}

/* --- one exchange --- */

static bool has_length(const char *method)
{
    return strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 ||
           strcmp(method, "PATCH") == 0;
}

int http_client_send(struct http_client *c, const char *method, const char *target,
                     const char *host, const char *headers, struct str body, struct err *e)
{
    AUTO_BUF struct buf head = BUF_INIT(REQUEST_MAX);

    buf_add_cstr(&head, method);
    buf_add_char(&head, ' ');
    buf_add_cstr(&head, target);
    buf_add_cstr(&head, " HTTP/1.1\r\nHost: ");
    buf_add_cstr(&head, host);
    buf_add_cstr(&head, "\r\n");
    if (headers)
        buf_add_cstr(&head, headers);
    if (body.n > 0 || has_length(method)) {
        buf_add_cstr(&head, "Content-Length: ");
        buf_add_u64(&head, body.n);
        buf_add_cstr(&head, "\r\n");
    }
    buf_add_cstr(&head, "\r\n");
    if (!buf_ok(&head))
        return err_set(e, head.failed, "build request");
    c->done = c->reusable = false;
    struct iovec v[2] = { { head.p, head.n }, { (void *)(uintptr_t)body.p, body.n } };
    return send_all(c, v, 2, e);
}

/* Sets up the body of the response whose head is in c->head. */
static void begin_body(struct http_client *c)
{
    c->chunked = (struct http1_chunked){ 0 };
    c->left = c->head.framing == HTTP1_LENGTH ? c->head.content_length : 0;
    c->done =
        c->head.framing == HTTP1_NO_BODY || (c->head.framing == HTTP1_LENGTH && c->left == 0);
}

static int read_more_head(struct http_client *c, struct err *e)
{
    char piece[4096];
    long got = recv_some(c, piece, sizeof piece, e);

    if (got < 0)
        return (int)got;
    if (got == 0)
        return err_say(e, ECONNRESET, "the server closed the connection without an answer");
    buf_add(&c->in, piece, (size_t)got);
    return buf_ok(&c->in) ? 0 : err_set(e, c->in.failed, "read response");
}

/* One head into c->head. Returns its bytes, which are still in c->in. */
static int read_head(struct http_client *c, bool to_head, struct err *e)
{
    for (;;) {
        enum http1_reason why;
        int n =
            c->in.n > 0 ? http1_parse_response(c->in.p, c->in.n, to_head, &c->head, &why) : 0;
        if (n > 0)
            return n;
        if (n < 0)
            return err_say(e, EPROTO, "bad response: %s", http1_reason(why));
        if (read_more_head(c, e) < 0)
            return -e->code;
    }
}

int http_client_head(struct http_client *c, bool to_head, struct err *e)
{
    for (unsigned interim = 0; interim <= INTERIM_MAX; interim++) {
        enum http1_reason why;
        int n = read_head(c, to_head, e);
        if (n < 0)
            return n;
        if (c->head.status < 200 && c->head.status != 101) {
            buf_consume(&c->in, (size_t)n);
            continue;
        }
        /* The head keeps its bytes, while what follows it comes and goes. */
        buf_clear(&c->head_bytes);
        buf_add(&c->head_bytes, c->in.p, (size_t)n);
        if (!buf_ok(&c->head_bytes))
            return err_set(e, c->head_bytes.failed, "read response");
        (void)http1_parse_response(c->head_bytes.p, c->head_bytes.n, to_head, &c->head, &why);
        buf_consume(&c->in, (size_t)n);
        begin_body(c);
        return 0;
    }
    return err_say(e, EPROTO, "bad response: only informational answers");
}

static long read_ahead_or_socket(struct http_client *c, void *buf, size_t n, struct err *e)
{
    if (c->in.n == 0)
        return recv_some(c, buf, n, e);
    if (n > c->in.n)
        n = c->in.n;
    memcpy(buf, c->in.p, n);
    buf_consume(&c->in, n);
    return (long)n;
}

static long cut_short(struct err *e)
{
    return err_say(e, ECONNRESET,
                   "the server closed the connection in the middle of a response");
}

/* Decodes in place; 0 only at the end of the body. */
static long read_chunked(struct http_client *c, char *buf, size_t n, struct err *e)
{
    size_t data_n = 0;

    if (n > IN_MAX)
        n = IN_MAX;
    while (data_n == 0 && !c->done) {
        bool from_in = c->in.n > 0;
        long got = read_ahead_or_socket(c, buf, n, e);
        if (got <= 0)
            return got == 0 ? cut_short(e) : got;
        long used = http1_chunked_decode_in_place(&c->chunked, buf, (size_t)got, &data_n);
        if (used < 0)
            return err_say(e, EPROTO, "bad response: broken chunks");
        c->done = c->chunked.done;
        if (used < got || (c->done && from_in && c->in.n > 0))
            c->head.keep_alive = false; /* bytes nobody asked for */
    }
    return (long)data_n;
}

long http_client_read(struct http_client *c, void *buf, size_t n, struct err *e)
{
    long got;

    if (c->done || n == 0)
        return 0;
    if (c->head.framing == HTTP1_CHUNKED) {
        got = read_chunked(c, buf, n, e);
    } else if (c->head.framing == HTTP1_LENGTH) {
        got = read_ahead_or_socket(c, buf, n < c->left ? n : (size_t)c->left, e);
        if (got == 0)
            return cut_short(e);
        if (got > 0)
            c->left -= (uint64_t)got;
        c->done = c->left == 0;
    } else {
        got = read_ahead_or_socket(c, buf, n, e);
        c->done = got == 0;
    }
    return got;
}

int http_client_body(struct http_client *c, struct buf *out, struct err *e)
{
    char piece[16384];

    for (;;) {
        long n = http_client_read(c, piece, sizeof piece, e);
        if (n <= 0)
            return (int)n;
        buf_add(out, piece, (size_t)n);
        if (!buf_ok(out))
            return err_set(e, out->failed, "read response body");
    }
}

bool http_client_reusable(const struct http_client *c)
{
    return c->done && c->head.keep_alive && c->head.framing != HTTP1_UNTIL_CLOSE &&
           c->in.n == 0 && c->head.status != 101;
}
