/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/http1_pass.h"

#include <errno.h>
#include <string.h>

#include "base/auto.h"

/* --- headers to set --- */

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* Like str_eq_nocase, with '_' for '-'. */
static bool same_name(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++) {
        bool bars = (a.p[i] == '_' || a.p[i] == '-') && (b.p[i] == '_' || b.p[i] == '-');
        if (!bars && !str_eq_nocase(str_sub(a, i, 1), str_sub(b, i, 1)))
            return false;
    }
    return true;
}

bool http1_set_name_ok(struct str name)
{
    static const char *const no[] = {
        "host",       "content-length",   "transfer-encoding", "connection",
        "keep-alive", "proxy-connection", "upgrade",           "te",
        "trailer",    "expect",           "http2-settings"
    };

    if (name.n == 0 || name.n > HTTP1_SET_NAME_MAX)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if (!is_token_char(name.p[i]))
            return false;
    for (size_t i = 0; i < ARRAY_LEN(no); i++)
        if (same_name(name, str_from(no[i])))
            return false;
    return true;
}

bool http1_set_value_ok(struct str value)
{
    if (value.n == 0 || value.n > HTTP1_SET_VALUE_MAX || str_trim(value).n != value.n)
        return false;
    for (size_t i = 0; i < value.n; i++)
        if (value.p[i] != '\t' && (value.p[i] < ' ' || value.p[i] > '~'))
            return false;
    return true;
}

/* --- a head, anew --- */

struct out {
    char *p;
    size_t n, max;
    bool full;
};

static void put(struct out *o, struct str s)
{
    if (o->full || s.n > o->max - o->n) {
        o->full = true;
        return;
    }
    if (s.n > 0)
        memcpy(o->p + o->n, s.p, s.n);
    o->n += s.n;
}

static void put_field(struct out *o, struct str name, struct str value)
{
    put(o, name);
    put(o, STR(": "));
    put(o, value);
    put(o, STR("\r\n"));
}

static bool is_set(struct str name, const struct http1_set *set, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (same_name(name, set[i].name))
            return true;
    return false;
}

/* What Connection names is for the next hop only, which would then take it out again. */
static bool names_one(struct str list, const struct http1_set *set, size_t n)
{
    struct str item;

    do {
        (void)str_cut(list, ',', &item, &list);
        if (is_set(str_trim(item), set, n))
            return true;
    } while (list.n > 0);
    return false;
}

long http1_rewrite(const struct http1_head *head, const struct http1_set *set, size_t n_set,
                   char *out, size_t max)
{
    struct out o = { .p = out, .max = max };

    if (str_eq(head->method, STR("TRACE")))
        return -EACCES;
    put(&o, head->method);
    put(&o, STR(" "));
    put(&o, head->target);
    put(&o, head->minor == 0 ? STR(" HTTP/1.0\r\n") : STR(" HTTP/1.1\r\n"));
    for (size_t i = 0; i < head->n_headers; i++) {
        const struct http1_header *f = &head->header[i];
        if (same_name(f->name, STR("connection")) && names_one(f->value, set, n_set))
            return -EACCES;
        if (!is_set(f->name, set, n_set))
            put_field(&o, f->name, f->value);
    }
    for (size_t i = 0; i < n_set; i++)
        put_field(&o, set[i].name, set[i].value);
    put(&o, STR("\r\n"));
    return o.full ? -EMSGSIZE : (long)o.n;
}

/* --- requests --- */

/* In place of the `old` bytes at p + *ok. Moves *ok over it. */
static int replace(const struct http1_head *head, const struct http1_pass_order *order, char *p,
                   size_t *n, size_t max, size_t *ok, size_t old)
{
    char anew[HTTP1_HEAD_MAX + HTTP1_GROWTH_MAX];
    long size = http1_rewrite(head, order->set, order->n, anew, sizeof anew);
    int rc = 0;

    if (size < 0)
        rc = (int)size;
    else if (*n - old + (size_t)size > max)
        rc = *ok > 0 ? -EAGAIN : -EMSGSIZE; /* when what is before it has gone */
    if (rc == 0) {
        memmove(p + *ok + size, p + *ok + old, *n - *ok - old);
        memcpy(p + *ok, anew, (size_t)size);
        *n = *n - old + (size_t)size;
        *ok += (size_t)size;
    }
    explicit_bzero(anew, sizeof anew); /* its values are secret */
    return rc;
}

static enum http1_pass_phase phase_after(const struct http1_head *head)
{
    if (http1_get(head, "Upgrade").p)
        return HTTP1_PASS_UPGRADE;
    if (head->framing == HTTP1_CHUNKED)
        return HTTP1_PASS_CHUNKED;
    return head->framing == HTTP1_LENGTH && head->content_length > 0 ? HTTP1_PASS_LENGTH
                                                                     : HTTP1_PASS_HEAD;
}

static int pass_head(struct http1_pass *s, char *p, size_t *n, size_t max, size_t *ok,
                     http1_pass_head decide, void *arg)
{
    struct http1_head head;
    struct http1_pass_order order = { 0 };
    enum http1_reason why;
    int size = http1_parse_request(p + *ok, *n - *ok, &head, &why);

    if (size <= 0)
        return size == 0 ? 0 : -EACCES;
    enum http1_pass_phase next = phase_after(&head);
    if (next == HTTP1_PASS_UPGRADE && (head.framing != HTTP1_NO_BODY || s->n_heads > 0))
        return -EACCES;
    uint64_t body = head.content_length; /* head borrows from p, which is about to change */
    int rc = decide(arg, &head, &order);
    if (rc < 0)
        return rc;
    if (order.n == 0)
        *ok += (size_t)size;
    else if ((rc = replace(&head, &order, p, n, max, ok, (size_t)size)) < 0)
        return rc == -EAGAIN ? 0 : rc;
    s->n_heads++;
    s->body_left = body;
    s->chunked = (struct http1_chunked){ 0 };
    s->phase = next;
    return 0;
}

static void pass_length(struct http1_pass *s, size_t n, size_t *ok)
{
    size_t k = n - *ok;

    if (k > s->body_left)
        k = (size_t)s->body_left;
    *ok += k;
    s->body_left -= k;
    if (s->body_left == 0)
        s->phase = HTTP1_PASS_HEAD;
}

static int pass_chunks(struct http1_pass *s, const char *p, size_t n, size_t *ok)
{
    while (*ok < n && !s->chunked.done) {
        struct str data;
        long k = http1_chunked_decode(&s->chunked, p + *ok, n - *ok, &data);
        if (k < 0)
            return -EACCES;
        if (k == 0)
            break;
        *ok += (size_t)k;
    }
    if (s->chunked.done)
        s->phase = HTTP1_PASS_HEAD;
    return 0;
}

/* Has the server agreed to leave HTTP? */
static void check_upgrade(struct http1_pass *s)
{
    if (s->status_n < HTTP1_PASS_STATUS_N)
        return;
    bool agreed =
        memcmp(s->status, "HTTP/1.", 7) == 0 && memcmp(s->status + 8, " 101 ", 5) == 0;
    s->phase = agreed ? HTTP1_PASS_TUNNEL : HTTP1_PASS_HEAD;
}

void http1_pass_saw(struct http1_pass *s, const char *p, size_t n)
{
    for (size_t i = 0; i < n && s->status_n < HTTP1_PASS_STATUS_N; i++)
        s->status[s->status_n++] = p[i];
}

static int step(struct http1_pass *s, char *p, size_t *n, size_t max, size_t *ok,
                http1_pass_head decide, void *arg)
{
    switch (s->phase) {
    case HTTP1_PASS_HEAD:
        return pass_head(s, p, n, max, ok, decide, arg);
    case HTTP1_PASS_LENGTH:
        pass_length(s, *n, ok);
        return 0;
    case HTTP1_PASS_CHUNKED:
        return pass_chunks(s, p, *n, ok);
    case HTTP1_PASS_UPGRADE:
        check_upgrade(s);
        return 0;
    case HTTP1_PASS_TUNNEL:
        *ok = *n;
        return 0;
    }
    return -EACCES;
}

int http1_pass_step(struct http1_pass *s, char *p, size_t *n, size_t max, size_t *ok,
                    http1_pass_head decide, void *arg)
{
    size_t before;
    enum http1_pass_phase phase;

    do {
        before = *ok;
        phase = s->phase;
        int rc = step(s, p, n, max, ok, decide, arg);
        if (rc < 0)
            return rc;
    } while ((*ok != before || s->phase != phase) && *ok < *n);
    return 0;
}
