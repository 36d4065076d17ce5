/* SPDX-License-Identifier: Apache-2.0 */
/* http/client: one HTTP/1.1 exchange over a connected stream socket, blocking, with a deadline.
 * For the CLI and for the API's own calls to envd. One request at a time; the connection may be
 * used again if http_client_reusable says so. Not for hostile networks beyond loopback: no TLS,
 * no redirects, no proxies. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "codec/http1.h"

struct http_client {
    int fd;                 /* owned */
    uint64_t io_timeout_ns; /* without progress; 0 = none */
    struct buf in;          /* private: bytes read ahead */
    struct http1_head head; /* of the response, borrows from head_bytes */
    struct buf head_bytes;
    struct http1_chunked chunked;
    uint64_t left;
    bool done, reusable;
};

/* Takes fd (connected). */
void http_client_init(struct http_client *c, int fd, uint64_t io_timeout_ns);
void http_client_fini(struct http_client *c);
/* Connects to host (an IPv4/IPv6 literal or a name) and port. An fd, or -errno with *e. */
int http_client_connect(const char *host, unsigned port, uint64_t timeout_ns, struct err *e);
/* Splits "http://host:port/prefix". 0, or -EINVAL with *e naming what is wrong (https is
 * refused with a hint). `prefix` without final '/'. */
int http_client_parse_url(const char *url, char host[256], unsigned *port, char prefix[256],
                          struct err *e);
/* Sends a request with a body of known length (body.n may be 0: then Content-Length: 0 for
 * POST/PUT/PATCH, none otherwise). */
int http_client_send(struct http_client *c, const char *method, const char *target,
                     const char *host, const char *headers, struct str body, struct err *e);
/* Reads the response head; informational (1xx) responses are skipped. 0 or -errno. */
int http_client_head(struct http_client *c, bool to_head, struct err *e);
/* Body bytes: > 0, 0 at the end, -errno. */
long http_client_read(struct http_client *c, void *buf, size_t n, struct err *e);
int http_client_body(struct http_client *c, struct buf *out, struct err *e);
bool http_client_reusable(const struct http_client *c);
