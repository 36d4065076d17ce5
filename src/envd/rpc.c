/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/rpc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"
#include "codec/base64.h"
#include "codec/json.h"
#include "envd/app.h"
#include "envd/reply.h"

#define MESSAGE_MAX     8192
#define ANSWER_MAX      65536 /* a message of only control characters grows sixfold as JSON */
#define KEEPALIVE_S     90
#define KEEPALIVE_MAX_S 3600
#define TIMEOUT_MAX_MS  UINT64_C(9999999999) /* the protocol allows ten digits */
#define STREAM_TYPE     "application/connect+json"

/* --- answers --- */

static int begin(struct rpc *r)
{
    if (r->began)
        return 0;
    r->began = true;
    int rc =
        http_reply_begin(r->conn, 200, STREAM_TYPE, reply_cors(r->conn), HTTP_LENGTH_UNKNOWN);
    if (rc < 0)
        r->done = true;
    return rc;
}

void rpc_envelope(struct buf *out, struct str json)
{
    connect_write(out, 0, json);
}

int rpc_send(struct rpc *r, const struct buf *envelopes)
{
    int rc = begin(r);

    if (rc == 0)
        rc = buf_ok(envelopes) ? http_write(r->conn, envelopes->p, envelopes->n) : -ENOMEM;
    if (rc < 0)
        r->done = true;
    return rc;
}

/* Sends `last`, if there is one, and the end frame with one write. */
static void end_stream(struct rpc *r, struct str last, struct str end)
{
    AUTO_BUF struct buf out = BUF_INIT(ANSWER_MAX);

    if (r->done)
        return;
    if (last.n > 0)
        connect_write(&out, 0, last);
    connect_write(&out, CONNECT_FLAG_END, end);
    if (rpc_send(r, &out) == 0)
        (void)http_reply_end(r->conn); /* the client may be gone: nobody is left to tell */
    r->done = true;
}

void rpc_end(struct rpc *r, struct str last)
{
    end_stream(r, last, STR("{}"));
}

static int fail(struct rpc *r, enum connect_code code, const char *message)
{
    AUTO_BUF struct buf json = BUF_INIT(ANSWER_MAX);

    if (r->done)
        return -1;
    if (r->is_stream)
        buf_add_cstr(&json, "{\"error\":");
    buf_addf(&json, "{\"code\":\"%s\",\"message\":", connect_code_name(code));
    json_write_str(&json, str_from(message));
    buf_add_cstr(&json, r->is_stream ? "}}" : "}");
    if (r->is_stream)
        end_stream(r, (struct str){ NULL, 0 }, buf_str(&json));
    else
        (void)reply_json(r->conn, connect_code_status(code), NULL, buf_str(&json));
    r->done = true;
    return -1;
}

int rpc_fail(struct rpc *r, enum connect_code code, const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    return fail(r, code, message);
}

static enum connect_code code_of(int error)
{
    switch (error) {
    case ENOENT:
        return CONNECT_NOT_FOUND;
    case EEXIST:
        return CONNECT_ALREADY_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return CONNECT_PERMISSION_DENIED;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
        return CONNECT_RESOURCE_EXHAUSTED;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
        return CONNECT_INVALID_ARGUMENT;
    case ELOOP:
    case ENOTEMPTY:
    case EBUSY:
    case EISDIR:
    case EXDEV:
        return CONNECT_FAILED_PRECONDITION;
    default:
        return CONNECT_INTERNAL;
    }
}

int rpc_fail_errno(struct rpc *r, int code, const char *fmt, ...)
{
    char message[MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof message)
        (void)snprintf(message + n, sizeof message - (size_t)n, ": %s", strerror(code));
    return fail(r, code_of(code), message);
}

int rpc_fail_field(struct rpc *r, const struct err *e)
{
    return fail(r, CONNECT_INVALID_ARGUMENT, e->text);
}

void rpc_reply(struct rpc *r, const struct buf *json)
{
    if (!buf_ok(json)) {
        (void)rpc_fail(r, CONNECT_RESOURCE_EXHAUSTED, "the answer is too big");
        return;
    }
    (void)reply_json(r->conn, 200, NULL, buf_str(json)); /* the client may be gone */
    r->done = true;
}

int rpc_wait(struct rpc *r, int fd, uint64_t until_ns)
{
    uint64_t now = clock_mono_ns();

    if (r->deadline_ns && r->deadline_ns < until_ns)
        until_ns = r->deadline_ns;
    int rc = http_wait(r->conn, fd, until_ns > now ? until_ns - now : 0);
    if (rc < 0)
        r->done = true;
    return rc;
}

bool rpc_deadline_passed(const struct rpc *r, uint64_t now_ns)
{
    return r->deadline_ns && now_ns >= r->deadline_ns;
}

/* --- requests --- */

int rpc_user(struct rpc *r, struct users *files, struct user *out)
{
    AUTO_BUF struct buf plain = BUF_INIT(1024);
    struct str header = http1_get(http_head(r->conn), "Authorization"), scheme, coded, name,
               rest;
    char fallback[USER_NAME_MAX];

    users_load(files);
    settings_default_user(&r->app->settings, fallback);
    name = str_from(fallback);
    (void)str_cut(header, ' ', &scheme, &coded);
    if (str_eq_nocase(scheme, STR("Basic"))) {
        if (base64_decode(str_trim(coded), &plain) < 0)
            return rpc_fail(r, CONNECT_UNAUTHENTICATED, "invalid basic authorization"), -ENOENT;
        (void)str_cut(buf_str(&plain), ':', &name, &rest);
        if (name.n == 0)
            name = str_from(fallback);
    }
    if (users_by_name(files, name, out) == 0)
        return 0;
    (void)rpc_fail(r, CONNECT_UNAUTHENTICATED, "invalid username: '%.*s'", (int)name.n, name.p);
    return -ENOENT;
}

static bool type_is(const struct http_conn *c, struct str want)
{
    struct str type, params;
    (void)str_cut(http1_get(http_head(c), "Content-Type"), ';', &type, &params);
    return str_eq_nocase(str_trim(type), want);
}

static void read_timing(struct rpc *r)
{
    const struct http1_head *head = http_head(r->conn);
    uint64_t n;

    r->keepalive_ns = KEEPALIVE_S * NS_PER_S;
    if (num_parse_u64(http1_get(head, "Keepalive-Ping-Interval"), 1, KEEPALIVE_MAX_S, &n) == 0)
        r->keepalive_ns = n * NS_PER_S;
    if (num_parse_u64(http1_get(head, "Connect-Timeout-Ms"), 1, TIMEOUT_MAX_MS, &n) == 0)
        r->deadline_ns = clock_mono_ns() + n * NS_PER_MS;
}

/* The one message of a request: the whole body, or the payload of its only envelope. */
static int message_of(struct rpc *r, const struct buf *body, struct str *out)
{
    unsigned flags = 0;

    *out = buf_str(body);
    if (!r->is_stream)
        return 0;
    long n = connect_read(body->p, body->n, RPC_BODY_MAX, &flags, out);
    if (n <= 0 || flags != 0)
        return rpc_fail(r, CONNECT_INVALID_ARGUMENT, "the request is not one whole envelope");
    if ((size_t)n != body->n)
        return rpc_fail(r, CONNECT_INVALID_ARGUMENT, "the request has more than one message");
    return 0;
}

static void run_method(struct rpc *r, const struct rpc_method *m)
{
    AUTO_BUF struct buf body = BUF_INIT(RPC_BODY_MAX + CONNECT_PREFIX);
    struct str message;
    struct err e;

    int rc = http_body_all(r->conn, &body);
    if (rc == -EMSGSIZE) {
        (void)rpc_fail(r, CONNECT_RESOURCE_EXHAUSTED, "the request is bigger than %u bytes",
                       RPC_BODY_MAX);
        return;
    }
    if (rc < 0) {
        (void)rpc_fail(r, CONNECT_INVALID_ARGUMENT, "the request body cannot be read");
        return;
    }
    if (message_of(r, &body, &message) < 0)
        return;
    AUTO_JSON json_t *req = message.n ? json_parse(message, &e) : json_object();
    if (!req && message.n) {
        (void)rpc_fail_field(r, &e);
        return;
    }
    if (!json_is_object(req)) {
        (void)rpc_fail(r, CONNECT_INVALID_ARGUMENT, "the request must be a JSON object");
        return;
    }
    buf_fini(&body);
    r->req = req;
    m->run(r);
}

void rpc_serve(struct http_conn *c, struct app *app, const struct rpc_method *m)
{
    struct rpc r = { .conn = c, .app = app, .is_stream = m->is_stream };

    if (!str_eq(http_head(c)->method, STR("POST"))) {
        (void)reply_json(c, 405, "Allow: POST\r\n",
                         STR("{\"code\":405,\"message\":\"method not allowed\"}"));
        return;
    }
    if (!type_is(c, m->is_stream ? STR(STREAM_TYPE) : STR("application/json"))) {
        (void)reply_json(c, 415,
                         m->is_stream ? "Accept-Post: " STREAM_TYPE "\r\n"
                                      : "Accept-Post: application/json\r\n",
                         STR("{\"code\":415,\"message\":\"unsupported content type\"}"));
        return;
    }
    read_timing(&r);
    run_method(&r, m);
    if (!r.done) {
        if (r.is_stream)
            rpc_end(&r, (struct str){ NULL, 0 });
        else
            (void)rpc_fail(&r, CONNECT_INTERNAL, "%s gave no answer", m->path);
    }
}
