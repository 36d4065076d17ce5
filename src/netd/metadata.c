/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata service: what a sandbox may know of itself, at 169.254.169.254 and with sessions
 * (the second version of EC2's and Firecracker's service). Nothing in it is secret: its id, its
 * template and the metadata that its creator gave. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/rand.h"
#include "codec/http1.h"
#include "codec/json.h"
#include "codec/url.h"
#include "netd/netd.h"

#define VISITORS_MAX    256u
#define VISITORS_OF_ONE 16u
#define HEAD_MAX        8192u
#define ANSWER_MAX      (2u << 20)
#define VISIT_NS        (5 * NS_PER_S)
#define TTL_MAX_S       21600u

/* --- answers: pure but for the tokens --- */

static void answer(struct buf *out, unsigned status, const char *headers, const char *type,
                   struct str body)
{
    buf_addf(out,
             "HTTP/1.1 %u %s\r\nServer: Firebreak\r\nConnection: close\r\n%s"
             "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
             status, http1_status_text(status), headers, type, body.n);
    buf_add_str(out, body);
}

static void answer_error(struct buf *out, unsigned status, const char *headers,
                         const char *text)
{
    answer(out, status, headers, "text/plain", str_from(text));
}

/* Both spellings of a header are one header. Empty if there is none; NULL in p too. */
static struct str get_either(const struct http1_head *head, const char *a, const char *b)
{
    struct str v = http1_get(head, a);
    return v.p ? v : http1_get(head, b);
}

static void put_token(struct box *b, const struct http1_head *head, uint64_t now_ns,
                      struct buf *out)
{
    struct str ttl = get_either(head, "X-metadata-token-ttl-seconds",
                                "X-aws-ec2-metadata-token-ttl-seconds");
    char headers[64];
    uint64_t seconds;

    if (http1_get(head, "X-Forwarded-For").p) {
        answer_error(out, 400, "", "a session is not given to somebody behind a proxy\n");
        return;
    }
    if (!ttl.p || num_parse_u64(ttl, 1, TTL_MAX_S, &seconds) < 0) {
        answer_error(out, 400, "",
                     "header X-metadata-token-ttl-seconds must be a number from 1 to 21600\n");
        return;
    }
    struct token *t = &b->token[b->next_token++ % TOKENS_MAX];
    rand_hex(t->text, TOKEN_TEXT / 2);
    t->until_ns = now_ns + seconds * NS_PER_S;
    (void)snprintf(headers, sizeof headers, "X-metadata-token-ttl-seconds: %u\r\n",
                   (unsigned)seconds);
    answer(out, 200, headers, "text/plain", str_from(t->text));
}

static bool has_session(const struct box *b, const struct http1_head *head, uint64_t now_ns)
{
    struct str said = get_either(head, "X-metadata-token", "X-aws-ec2-metadata-token");
    bool good = false;

    for (size_t i = 0; i < TOKENS_MAX; i++)
        if (b->token[i].text[0] && b->token[i].until_ns > now_ns &&
            str_eq_secret(said, str_from(b->token[i].text)))
            good = true;
    return good;
}

/* --- the tree: /latest/meta-data/{sandbox-id,template,metadata/KEY} --- */

static struct str key_of(const struct netd_pair *p)
{
    return (struct str){ p->text, p->key_n };
}
static struct str value_of(const struct netd_pair *p)
{
    return (struct str){ p->text + p->key_n, p->value_n };
}

static void list_metadata(const struct box *b, bool json, struct buf *out)
{
    if (json)
        buf_add_char(out, '{');
    for (size_t i = 0; i < b->n_pairs; i++) {
        if (i > 0)
            buf_add_char(out, json ? ',' : '\n');
        if (!json) {
            buf_add_str(out, key_of(&b->pair[i]));
            continue;
        }
        json_write_str(out, key_of(&b->pair[i]));
        buf_add_char(out, ':');
        json_write_str(out, value_of(&b->pair[i]));
    }
    if (json)
        buf_add_char(out, '}');
}

static void list_all(const struct box *b, bool json, struct buf *out)
{
    if (!json) {
        buf_add_cstr(out, "metadata/\nsandbox-id\ntemplate");
        return;
    }
    buf_add_cstr(out, "{\"sandbox-id\":");
    json_write_str(out, str_from(b->id.text));
    buf_add_cstr(out, ",\"template\":");
    json_write_str(out, str_from(b->template));
    buf_add_cstr(out, ",\"metadata\":");
    list_metadata(b, true, out);
    buf_add_char(out, '}');
}

static void put_value(struct str value, bool json, struct buf *out)
{
    if (json)
        json_write_str(out, value);
    else
        buf_add_str(out, value);
}

static bool put_pair(const struct box *b, struct str encoded, bool json, struct buf *out)
{
    AUTO_BUF struct buf key = BUF_INIT(NETD_TEXT_MAX);

    if (url_decode(encoded, false, &key) < 0 || !buf_ok(&key))
        return false;
    for (size_t i = 0; i < b->n_pairs; i++)
        if (str_eq(key_of(&b->pair[i]), buf_str(&key))) {
            put_value(value_of(&b->pair[i]), json, out);
            return true;
        }
    return false;
}

static bool put_node(const struct box *b, struct str path, bool json, struct buf *out)
{
    if (path.n > 1 && path.p[path.n - 1] == '/')
        path.n--;
    if (str_eq(path, STR("/")))
        buf_add_cstr(out, json ? "{\"latest\":{}}" : "latest/");
    else if (str_eq(path, STR("/latest")))
        buf_add_cstr(out, json ? "{\"meta-data\":{}}" : "meta-data/");
    else if (str_eq(path, STR("/latest/meta-data")))
        list_all(b, json, out);
    else if (str_eq(path, STR("/latest/meta-data/sandbox-id")))
        put_value(str_from(b->id.text), json, out);
    else if (str_eq(path, STR("/latest/meta-data/template")))
        put_value(str_from(b->template), json, out);
    else if (str_eq(path, STR("/latest/meta-data/metadata")))
        list_metadata(b, json, out);
    else if (str_starts(path, STR("/latest/meta-data/metadata/")))
        return put_pair(b, str_sub(path, sizeof "/latest/meta-data/metadata/" - 1, path.n),
                        json, out);
    else
        return false;
    return true;
}

static void get(const struct box *b, const struct http1_head *head, struct str path,
                uint64_t now_ns, struct buf *out)
{
    bool json = http1_has_token(head, "Accept", "application/json");
    AUTO_BUF struct buf body = BUF_INIT(ANSWER_MAX);

    if (!has_session(b, head, now_ns))
        answer_error(out, 401, "",
                     "no session: PUT /latest/api/token, then send the token as "
                     "X-metadata-token\n");
    else if (!put_node(b, path, json, &body))
        answer_error(out, 404, "", "there is nothing of that name\n");
    else if (!buf_ok(&body))
        answer_error(out, 500, "", "out of memory\n");
    else
        answer(out, 200, "", json ? "application/json" : "text/plain", buf_str(&body));
}

void metadata_answer(struct box *b, const struct http1_head *head, uint64_t now_ns,
                     struct buf *out)
{
    struct str path, query;
    bool is_token;

    url_split_target(head->target, &path, &query);
    is_token = str_eq(path, STR("/latest/api/token"));
    if (head->framing != HTTP1_NO_BODY &&
        !(head->framing == HTTP1_LENGTH && head->content_length == 0))
        answer_error(out, 400, "", "a request has no body here\n");
    else if (str_eq(head->method, STR("GET")) && !is_token)
        get(b, head, path, now_ns, out);
    else if (str_eq(head->method, STR("PUT")) && is_token)
        put_token(b, head, now_ns, out);
    else
        answer_error(out, 405, is_token ? "Allow: PUT\r\n" : "Allow: GET\r\n",
                     is_token ? "this path takes PUT\n" : "this path takes GET\n");
}

/* --- connections --- */

struct visitor {
    struct visitor *next;
    struct watch watch;
    uint32_t index;
    uint64_t generation, until_ns;
    char head[HEAD_MAX];
    size_t n;
    struct buf out;
    size_t sent;
};

static void visitor_close(struct netd *d, struct visitor *v)
{
    struct visitor **at = &d->visitors;

    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    watch_close(d, &v->watch);
    if (v->out.p)
        explicit_bzero(v->out.p, v->out.n); /* it may have held a token */
    buf_fini(&v->out);
    free(v);
}

void metadata_tick(struct netd *d, uint64_t now_ns)
{
    struct visitor *next;

    for (struct visitor *v = d->visitors; v; v = next) {
        next = v->next;
        if (v->until_ns < now_ns)
            visitor_close(d, v);
    }
}

static void write_on(struct netd *d, struct visitor *v)
{
    ssize_t n =
        send(v->watch.fd, v->out.p + v->sent, v->out.n - v->sent, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n < 0 && errno == EAGAIN)
        n = 0;
    if (n < 0) {
        visitor_close(d, v);
        return;
    }
    v->sent += (size_t)n;
    if (v->sent == v->out.n) {
        (void)shutdown(v->watch.fd, SHUT_WR);
        visitor_close(d, v);
    } else if (watch_change(d, &v->watch, EPOLLOUT) < 0) {
        visitor_close(d, v);
    }
}

/* True once there is an answer. */
static bool read_on(struct netd *d, struct visitor *v, struct box *b)
{
    struct http1_head head;
    enum http1_reason why;

    ssize_t got = recv(v->watch.fd, v->head + v->n, sizeof v->head - v->n, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0) {
        visitor_close(d, v);
        return false;
    }
    v->n += (size_t)got;
    int n = http1_parse_request(v->head, v->n, &head, &why);
    if (n == 0 && v->n < sizeof v->head)
        return false;
    if (n > 0)
        metadata_answer(b, &head, clock_mono_ns(), &v->out);
    else if (n == 0)
        answer_error(&v->out, 431, "", "the request is too large\n");
    else
        answer_error(&v->out, http1_reason_status(why), "", http1_reason(why));
    return true;
}

static void on_visitor(struct netd *d, struct watch *w, uint32_t events)
{
    struct visitor *v = (struct visitor *)(void *)((char *)w - offsetof(struct visitor, watch));
    struct box *b = &d->box[v->index];

    (void)events;
    if (!b->used || b->generation != v->generation)
        visitor_close(d, v);
    else if (v->out.n > 0 || read_on(d, v, b))
        write_on(d, v);
}

static void on_accept(struct netd *d, struct watch *w, uint32_t events)
{
    struct sockaddr_in from = { 0 };
    socklen_t k = sizeof from;
    unsigned n = 0, of_one = 0;
    AUTO_CLOSE int fd =
        accept4(w->fd, (struct sockaddr *)&from, &k, SOCK_CLOEXEC | SOCK_NONBLOCK);

    (void)events;
    struct box *b = fd < 0 ? NULL : box_by_addr(d, ntohl(from.sin_addr.s_addr));
    if (!b)
        return;
    for (const struct visitor *v = d->visitors; v; v = v->next) {
        n++;
        of_one += v->index == b->index;
    }
    struct visitor *v =
        n < VISITORS_MAX && of_one < VISITORS_OF_ONE ? calloc(1, sizeof *v) : NULL;
    if (!v)
        return;
    v->watch = (struct watch){ .fd = fd_steal(&fd), .ready = on_visitor };
    v->index = b->index;
    v->generation = b->generation;
    v->until_ns = clock_mono_ns() + VISIT_NS;
    v->out = BUF_INIT(ANSWER_MAX + 4096);
    v->next = d->visitors;
    d->visitors = v;
    if (watch_add(d, &v->watch, EPOLLIN) < 0)
        visitor_close(d, v);
}

int metadata_open(struct netd *d, struct err *e)
{
    int fd = -1;

    if (listen_on_gateway(d, PORT_METADATA, &fd, e) < 0)
        return -e->code;
    d->metadata = (struct watch){ .fd = fd, .ready = on_accept };
    return 0;
}
