/* SPDX-License-Identifier: Apache-2.0 */
/* reply: whole answers of envd's plain HTTP endpoints: JSON, errors in the shape {"code":N,"message":"..."}, and the CORS headers
 * that browsers need on each of them. */
#pragma once
#include "base/buf.h"
#include "base/str.h"
#include "http/server.h"

/* The CORS lines for this request ("" if it names no origin), to go into the headers of an answer. Constant. */
const char *reply_cors(const struct http_conn *c);
/* `headers` are complete lines or NULL. Return as http_reply. */
int reply_json(struct http_conn *c, unsigned status, const char *headers, struct str body);
int reply_empty(struct http_conn *c, unsigned status, const char *headers);
int reply_error(struct http_conn *c, unsigned status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
