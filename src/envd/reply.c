/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/reply.h"

#include <stdarg.h>
#include <stdio.h>

#include "codec/json.h"

#define MESSAGE_MAX 8192
#define ANSWER_MAX  65536 /* a message of only control characters grows sixfold as JSON */

const char *reply_cors(const struct http_conn *c)
{
    if (http1_get(http_head(c), "Origin").p == NULL)
        return "";
    return "Access-Control-Allow-Origin: *\r\n"
           "Access-Control-Expose-Headers: Location, Cache-Control, X-Content-Type-Options\r\n"
           "Vary: Origin\r\n";
}

static int reply(struct http_conn *c, unsigned status, const char *type, const char *headers,
                 struct str body)
{
    char all[1024];
    (void)snprintf(all, sizeof all, "%s%s", reply_cors(c), headers ? headers : "");
    return http_reply(c, status, type, all, body);
}

int reply_json(struct http_conn *c, unsigned status, const char *headers, struct str body)
{
    return reply(c, status, "application/json", headers, body);
}

int reply_empty(struct http_conn *c, unsigned status, const char *headers)
{
    return reply(c, status, NULL, headers, (struct str){ NULL, 0 });
}

int reply_error(struct http_conn *c, unsigned status, const char *fmt, ...)
{
    AUTO_BUF struct buf body = BUF_INIT(ANSWER_MAX);
    char message[MESSAGE_MAX];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (n < 0)
        message[0] = '\0';
    buf_addf(&body, "{\"code\":%u,\"message\":", status);
    json_write_str(&body, str_from(message));
    buf_add_cstr(&body, "}");
    return reply_json(c, status, NULL,
                      buf_ok(&body) ? buf_str(&body) : STR("{\"code\":500,\"message\":\"\"}"));
}
