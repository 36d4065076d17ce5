/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/answer.h"

#include <stdarg.h>
#include <stdio.h>

#include "codec/json.h"

#define MESSAGE_MAX 1024u

void answer_error(struct http_conn *c, unsigned status, const char *error_code,
                  const char *headers, const char *fmt, ...)
{
    AUTO_BUF struct buf b = BUF_INIT((size_t)8 * MESSAGE_MAX);
    char message[MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof message, fmt, ap); /* a longer one is cut */
    va_end(ap);
    buf_addf(&b, "{\"code\":%u,\"message\":", status);
    json_write_str(&b, str_from(message));
    if (error_code)
        buf_addf(&b, ",\"error_code\":\"%s\"", error_code);
    buf_add_char(&b, '}');
    answer_json(c, status, headers, &b);
}

void answer_json(struct http_conn *c, unsigned status, const char *headers,
                 const struct buf *body)
{
    static const char too_big[] =
        "{\"code\":500,\"message\":\"the answer could not be built: out of memory\","
        "\"error_code\":\"internal_server_error\"}";

    if (buf_ok(body))
        (void)http_reply(c, status, "application/json", headers,
                         buf_str(body)); /* the peer may be gone */
    else
        (void)http_reply(c, 500, "application/json", NULL, str_from(too_big)); /* likewise */
}

void answer_empty(struct http_conn *c, unsigned status)
{
    (void)http_reply(c, status, NULL, NULL, STR("")); /* the peer may be gone */
}
