/* SPDX-License-Identifier: Apache-2.0 */
/* http1_pass: the requests of one client on their way to a server, looked at one after the other.
 * Pure: the bytes are in the caller's buffer, and a callback decides about each head.
 *
 * What http1_parse_request refuses does not pass, so both sides agree on where each request
 * begins. Bodies pass as they are framed. Another protocol (Upgrade) may only be asked for by the
 * first request, without a body: then the server's first bytes are its answer to it, and nothing
 * that the client can have put there. */
#pragma once
#include <stdint.h>

#include "codec/http1.h"

#define HTTP1_SET_MAX       20u    /* headers that are set on one request */
#define HTTP1_SET_BYTES_MAX 16384u /* their names and values together */
#define HTTP1_SET_NAME_MAX  64u
#define HTTP1_SET_VALUE_MAX 2048u
/* What a head can grow by when it is written anew: ": " and CRLF for each field, and a blank for
 * each that came without. */
#define HTTP1_GROWTH_MAX (HTTP1_SET_BYTES_MAX + 4u * HTTP1_SET_MAX + HTTP1_HEADERS_MAX)

/* A header to be set; borrowed. */
struct http1_set {
    struct str name, value;
};
/* A token of at most HTTP1_SET_NAME_MAX bytes that says nothing about where a message goes, how it
 * is framed or what becomes of the connection. */
bool http1_set_name_ok(struct str name);
/* 1..HTTP1_SET_VALUE_MAX bytes of visible ASCII, blanks and tabs between them. */
bool http1_set_value_ok(struct str value);

/* Writes a request head anew with `set` in it, and without whatever the client has sent under
 * those names ('_' and '-' are one: some servers read them so). Returns the bytes written, or
 * -EMSGSIZE if out is too small, or -EACCES if the client asks for what would undo or show it: a
 * Connection field that names one of them, or TRACE. */
long http1_rewrite(const struct http1_head *head, const struct http1_set *set, size_t n_set,
                   char *out, size_t max);

enum http1_pass_phase {
    HTTP1_PASS_HEAD, /* at the beginning of a request */
    HTTP1_PASS_LENGTH,
    HTTP1_PASS_CHUNKED,
    HTTP1_PASS_UPGRADE, /* nothing passes until the server agrees */
    HTTP1_PASS_TUNNEL   /* everything passes */
};

#define HTTP1_PASS_STATUS_N 13u /* "HTTP/1.1 101 " */

/* Zero it and go. */
struct http1_pass {
    enum http1_pass_phase phase;
    uint64_t body_left, n_heads; /* n_heads: that have passed */
    struct http1_chunked chunked;
    char status[HTTP1_PASS_STATUS_N]; /* the beginning of what the server says */
    size_t status_n;
};

/* May this request pass? 0 with the headers to set (none: it passes as it is), or a negative
 * errno. They must stay valid until http1_pass_step returns. */
struct http1_pass_order {
    const struct http1_set *set;
    size_t n;
};
typedef int (*http1_pass_head)(void *arg, const struct http1_head *head,
                               struct http1_pass_order *order);

/* p[0..*n) of max bytes are what the client has sent and has not been passed on, the first *ok of
 * them may go. Moves *ok as far as it can; a head that is written anew changes *n. There must be
 * HTTP1_GROWTH_MAX bytes of room above whatever the caller reads into p. 0; -EACCES if the
 * connection must end; what the callback said. */
int http1_pass_step(struct http1_pass *s, char *p, size_t *n, size_t max, size_t *ok,
                    http1_pass_head decide, void *arg);
/* What the server has said, from its first byte on. */
void http1_pass_saw(struct http1_pass *s, const char *p, size_t n);
