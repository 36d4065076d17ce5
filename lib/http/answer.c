/* SPDX-License-Identifier: Apache-2.0 */
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "http/server_priv.h"

void *iov_base(const void *p)
{
    return (void *)(uintptr_t)p; /* sendmsg only reads through it */
}

void iov_advance(struct iovec **v, size_t *n, size_t bytes)
{
    while (*n > 0 && bytes >= (*v)->iov_len) {
        bytes -= (*v)->iov_len;
        (*v)++;
        (*n)--;
    }
    if (*n > 0) {
        (*v)->iov_base = (char *)(*v)->iov_base + bytes;
        (*v)->iov_len -= bytes;
    }
}

/* Not strftime: names of days and months must not follow a locale. */
static void add_date(struct buf *b)
{
    static const char days[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    time_t t = (time_t)(clock_real_ns() / NS_PER_S);
    struct tm tm;

    if (!gmtime_r(&t, &tm))
        return; /* a year beyond int: an answer without a date is still one */
    buf_addf(b, "Date: %s, %02d %s %d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday], tm.tm_mday,
             months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

void answer_head(struct buf *b, unsigned status, const char *content_type, const char *headers,
                 enum answer_length how, uint64_t length, enum answer_conn conn)
{
    buf_add_cstr(b, "HTTP/1.1 ");
    buf_add_u64(b, status);
    buf_add_char(b, ' ');
    buf_add_cstr(b, http1_status_text(status));
    buf_add_cstr(b, "\r\n");
    add_date(b);
    if (content_type) {
        buf_add_cstr(b, "Content-Type: ");
        buf_add_cstr(b, content_type);
        buf_add_cstr(b, "\r\n");
    }
    if (headers)
        buf_add_cstr(b, headers);
    if (how == ANSWER_LENGTH) {
        buf_add_cstr(b, "Content-Length: ");
        buf_add_u64(b, length);
        buf_add_cstr(b, "\r\n");
    } else if (how == ANSWER_CHUNKED) {
        buf_add_cstr(b, "Transfer-Encoding: chunked\r\n");
    }
    if (conn == ANSWER_CLOSE)
        buf_add_cstr(b, "Connection: close\r\n");
    else if (conn == ANSWER_KEEP)
        buf_add_cstr(b, "Connection: keep-alive\r\n");
    buf_add_cstr(b, "\r\n");
}

void answer_error_body(const struct http_config *cfg, unsigned status, const char *message,
                       struct buf *out)
{
    if (cfg->error_body)
        cfg->error_body(status, message, out, cfg->arg);
    else /* message is one of our own sentences: nothing in it needs escaping */
        buf_addf(out, "{\"code\":%u,\"message\":\"%s\"}", status, message);
}

bool answer_headers_ok(const char *headers, const char *content_type)
{
    for (const char *p = content_type; p && *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            return false;
    /* Whole lines and no empty one: what a handler pastes in from outside cannot end the head
     * early. */
    bool in_line = false;
    for (const char *p = headers; p && *p; p++) {
        if (*p == '\n')
            return false;
        if (*p != '\r') {
            in_line = true;
            continue;
        }
        if (p[1] != '\n' || !in_line)
            return false;
        in_line = false;
        p++;
    }
    return !in_line;
}
