/* SPDX-License-Identifier: Apache-2.0 */
#include "shipper/push.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "audit/segment.h"
#include "base/auto.h"
#include "base/clock.h"
#include "codec/json.h"
#include "http/client.h"
#include "record/files.h"

#define BODY_MAX    (8u << 20)
#define ANSWER_MAX  4096u
#define IO_LIMIT_NS (10 * NS_PER_S)
#define CONNECT_MS  5000

static bool same_labels(const struct push_line *a, const struct push_line *b)
{
    return a->stream == b->stream && (a->stream == AUDIT_HEADS_STREAM || a->event == b->event);
}

static void write_labels(const struct push_line *l, struct buf *out)
{
    bool head = l->stream == AUDIT_HEADS_STREAM;

    buf_addf(out, "{\"job\":\"%s\",\"event_type\":\"%s\",\"retention\":\"%ud\"}",
             audit_job_text(head ? JOB_SANDBOX : audit_stream_job(l->stream)),
             head ? "integrity.head" : audit_event_text(l->event),
             head ? 365 : audit_stream_days(l->stream));
}

void push_body(const struct push_line *line, size_t n, struct buf *out)
{
    bool done[PUSH_LINES_MAX] = { false };
    const char *between_streams = "";

    buf_add_cstr(out, "{\"streams\":[");
    for (size_t i = 0; i < n; i++) {
        const char *between_values = "";
        if (done[i])
            continue;
        buf_addf(out, "%s{\"stream\":", between_streams);
        write_labels(&line[i], out);
        buf_add_cstr(out, ",\"values\":[");
        for (size_t k = i; k < n; k++) {
            if (!same_labels(&line[i], &line[k]))
                continue;
            done[k] = true;
            buf_addf(out, "%s[\"%llu\",", between_values, (unsigned long long)line[k].real_ns);
            json_write_str(out, str_from(line[k].text));
            buf_add_char(out, ']');
            between_values = ",";
        }
        buf_add_cstr(out, "]}");
        between_streams = ",";
    }
    buf_add_cstr(out, "]}");
}

static int connect_to(const struct push_target *t, struct err *e)
{
    AUTO_CLOSE int fd =
        socket(t->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    int failed = 0;
    socklen_t n = sizeof failed;

    if (fd < 0 || (connect(fd, (const struct sockaddr *)&t->address, t->address_n) < 0 &&
                   errno != EINPROGRESS))
        return err_set(e, errno, "connect to %s", t->host);
    if (poll(&p, 1, CONNECT_MS) != 1)
        return err_set(e, ETIMEDOUT, "connect to %s", t->host);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n) < 0 || failed)
        return err_set(e, failed ? failed : errno, "connect to %s", t->host);
    return fd_steal(&fd);
}

static enum push_result judge(struct http_client *c, struct err *e)
{
    AUTO_BUF struct buf answer = BUF_INIT(ANSWER_MAX);
    struct err ignored;
    unsigned status = c->head.status;

    if (status >= 200 && status < 300)
        return PUSH_TAKEN;
    (void)http_client_body(c, &answer, &ignored); /* good for the message only */
    (void)err_say(e, EPROTO, "it answered %u %.*s", status,
                  (int)(answer.n < 120 ? answer.n : 120), buf_cstr(&answer));
    return status == 400 || status == 413 ? PUSH_REFUSED : PUSH_LATER;
}

enum push_result push_send(const struct push_target *t, const struct push_line *line, size_t n,
                           struct err *e)
{
    AUTO_BUF struct buf body = BUF_INIT(BODY_MAX);
    char headers[256], target[300];
    struct http_client c;

    push_body(line, n, &body);
    if (!buf_ok(&body)) {
        (void)err_set(e, body.failed, "write a push");
        return PUSH_LATER;
    }
    (void)snprintf(headers, sizeof headers,
                   "Content-Type: application/json\r\nConnection: close\r\n%s%s%s",
                   t->tenant ? "X-Scope-OrgID: " : "", t->tenant ? t->tenant : "",
                   t->tenant ? "\r\n" : "");
    (void)snprintf(target, sizeof target, "%s/loki/api/v1/push", t->prefix);
    int fd = connect_to(t, e);
    if (fd < 0)
        return PUSH_LATER;
    http_client_init(&c, fd, IO_LIMIT_NS);
    int rc = http_client_send(&c, "POST", target, t->host, headers, buf_str(&body), e);
    if (rc == 0)
        rc = http_client_head(&c, false, e);
    enum push_result result = rc == 0 ? judge(&c, e) : PUSH_LATER;
    http_client_fini(&c);
    return result;
}
