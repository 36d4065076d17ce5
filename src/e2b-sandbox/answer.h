/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/answer: answers of handlers in the shapes of e2b-wire 2.2. A peer that is gone is nobody's failure: these
 * functions report nothing. */
#pragma once
#include "base/buf.h"
#include "http/server.h"

/* {"code":status,"message":"..."}, with "error_code" unless that is NULL. `headers` as for http_reply. */
void answer_error(struct http_conn *c, unsigned status, const char *error_code,
                  const char *headers, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The body as it is; 500 instead if it has failed (grown too big). */
void answer_json(struct http_conn *c, unsigned status, const char *headers,
                 const struct buf *body);
void answer_empty(struct http_conn *c, unsigned status);
