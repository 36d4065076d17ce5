/* SPDX-License-Identifier: Apache-2.0 */
/* http/server: an HTTP/1.1 server of one reactor thread and a capped pool of handler threads
 * (DESIGN §7, ADR 0005).
 *
 * The reactor (epoll) accepts, reads heads under limits and deadlines, keeps idle and slow
 * connections, and pumps relays and tunnels: such connections cost memory only. A request whose
 * head is whole goes to a handler, which runs top to bottom on a pool thread and may block in
 * the functions below; each of them has a deadline and gives up with -ETIMEDOUT, or with
 * -EPIPE/-ECONNRESET if the peer is gone. When the handler returns, the connection goes back to
 * the reactor: the rest of the body is drained (up to 256 KiB, else the connection is closed)
 * and the next request is read.
 *
 * A head that violates RFC 9112 is answered with its status, a JSON error body made by
 * config.error_body, and close. Threads: http_server_* from the thread that made the server;
 * everything that takes a struct http_conn from its handler only. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "codec/http1.h"

struct http_server;
struct http_conn;

struct http_config {
    unsigned max_threads;      /* handlers at once; above it 503 with Retry-After: 1 */
    unsigned reserved_threads; /* of those, kept for requests that is_urgent says are (health,
                                  kill); 0 = none */
    unsigned max_conns; /* connections at once; above it the longest idle one is closed for the
                                  new one, which itself is closed if all are at work */
    unsigned
        max_conns_per_ip; /* the same for one address (a /64 of IPv6); 0 = no limit of its own */
    uint64_t head_timeout_ns; /* from the first byte of a head to its last */
    uint64_t idle_timeout_ns; /* keep-alive without a byte */
    uint64_t io_timeout_ns;   /* a blocking read or write that makes no progress */
    uint64_t
        half_closed_ns; /* a relayed answer of which no byte comes or is taken, once the client has sent all that it will
                                 send (shutdown, or close: the two look alike until something is sent to it) */
    uint64_t thread_idle_ns; /* a pool thread without work ends after this (keeps an idle server
                                small) */
    uint64_t
        max_body; /* bytes of a request body that http_body_* will deliver; more answers 413 */
    void *arg;    /* given to the callbacks */
    void (*handler)(struct http_conn *c,
                    void *arg); /* must answer exactly once: reply, begin..end, or relay */
    bool (*is_urgent)(const struct http1_head *head,
                      void *arg); /* may be NULL; runs on the reactor: must not block */
    /* Writes the body (JSON) of an error the server itself answers. May be NULL: then
     * {"code":N,"message":"..."}. */
    void (*error_body)(unsigned status, const char *message, struct buf *out, void *arg);
    /* Called when a request has been answered, for metrics and access logs. `status` 0: the
     * peer went away first, or the answer broke off. On the handler's thread, or on the reactor
     * for relays and 503s: must not block. Not for heads that were refused. May be NULL. */
    void (*on_done)(const struct http1_head *head, unsigned status, uint64_t took_ns,
                    void *arg);
};

/* Fills in sensible defaults (256 threads, 4096 connections, 10 s heads, 600 s idle, 60 s I/O,
 * 5 s threads, 1 MiB bodies). */
void http_config_default(struct http_config *cfg);

/* Serves on listen_fd (TCP or Unix stream, listening; taken on success). */
int http_server_start(struct http_server **out, const struct http_config *cfg, int listen_fd,
                      struct err *e);
/* Stops accepting and closes idle connections; waits up to grace_ns for handlers, then shuts
 * their sockets down and waits for them to return. Relays have the grace too, but no more than
 * a second of it. Frees s. NULL is fine. */
void http_server_stop(struct http_server *s, uint64_t grace_ns);

/* Asks each relay whether it is over, and cuts those that are: when this returns their clients
 * have been told (the connection is closed), and their on_end has been called. A relay that a
 * handler has just begun is asked when it begins. From any thread but the reactor's. */
void http_server_end_relays(struct http_server *s);

struct http_server_stats {
    unsigned conns, busy_threads, threads, relays;
    uint64_t accepted, requests, refused_heads, refused_busy;
};
void http_server_get_stats(struct http_server *s, struct http_server_stats *out);

/* --- in a handler --- */
const struct http1_head *
http_head(const struct http_conn *c);             /* lives until the handler returns */
struct str http_path(const struct http_conn *c);  /* target before '?', still encoded */
struct str http_query(const struct http_conn *c); /* after '?', still encoded, or empty */
const char *http_peer(const struct http_conn *c); /* "127.0.0.1", "::1" or "unix" */

/* Body bytes, decoded from chunks. > 0 bytes, 0 at the end, or -errno: -EPROTO bad framing
 * (answer 400; the connection will be closed), -EMSGSIZE over max_body, -ETIMEDOUT,
 * -ECONNRESET. Sends "100 Continue" first where the client waits for it. */
long http_body_read(struct http_conn *c, void *buf, size_t n);
/* Replaces config.max_body for this request (UINT64_MAX for a streamed upload). Before the
 * first read. */
void http_body_set_max(struct http_conn *c, uint64_t max);
/* Reads the whole body into out (which has its own max). 0 or -errno as above. */
int http_body_all(struct http_conn *c, struct buf *out);

/* A whole answer. `headers` are complete lines ("Name: value\r\n...") or NULL; Content-Length
 * is added (none for 1xx/204). content_type may be NULL. A Date header is added. 0 or -errno
 * (peer gone). */
int http_reply(struct http_conn *c, unsigned status, const char *content_type,
               const char *headers, struct str body);
/* A streamed answer. length UINT64_MAX: chunked (HTTP/1.0 peers: until close). */
#define HTTP_LENGTH_UNKNOWN UINT64_MAX
int http_reply_begin(struct http_conn *c, unsigned status, const char *content_type,
                     const char *headers, uint64_t length);
int http_write(struct http_conn *c, const void *p,
               size_t n); /* all of it, flushed; blocks with back-pressure */
int http_write_file(struct http_conn *c, int fd, uint64_t offset,
                    uint64_t n); /* sendfile; -EIO if the file is shorter */
int http_reply_end(struct http_conn *c);
/* Has an answer been begun? And has the peer closed or reset (asked now, without blocking)? */
bool http_replied(const struct http_conn *c);
bool http_peer_gone(struct http_conn *c);
/* Waits until fd is readable (> 0: 1), the peer is gone (-EPIPE) or timeout_ns passes (0). fd
 * -1: the peer only. */
int http_wait(struct http_conn *c, int fd, uint64_t timeout_ns);
/* This connection is closed after the answer. */
void http_close_after(struct http_conn *c);

/* Switches protocols: writes 101 with `headers`, after which http_raw_read/http_raw_write carry
 * bytes until the handler returns. */
int http_upgrade(struct http_conn *c, const char *headers);
long http_raw_read(struct http_conn *c, void *buf, size_t n);
int http_raw_write(struct http_conn *c, const void *p, size_t n);

/* --- relay: the answer of a handler that routes --- */
struct http_relay {
    int upstream_fd;   /* a connected, or connecting, non-blocking stream socket; taken, also on
                          failure */
    struct str target; /* the request target to send; empty: as it came */
    struct str host;   /* the Host to send; empty: as it came */
    const char *add_headers; /* complete lines to add, or NULL */
    const char *const
        *drop; /* NULL-terminated names of request headers not to forward, or NULL */
    uint64_t connect_timeout_ns;
    /* Answer when upstream cannot be connected, closes or breaks HTTP before a response head is
     * through: status and JSON body. */
    unsigned fail_status;
    struct str fail_body; /* copied */
    /* Must the exchange end at once, whatever is on its way? Asked on the reactor when the
     * exchange begins there and by http_server_end_relays; may be NULL. */
    bool (*is_over)(void *on_end_arg);
    /* When the exchange is over; on the reactor; may be NULL. `status` as for on_done. */
    void (*on_end)(void *arg, unsigned status, uint64_t bytes_up, uint64_t bytes_down);
    void *on_end_arg;
};
/* Hands the request, of whose body nothing may have been read, to the reactor, which forwards
 * it, with its body as it arrives, and the response back, checking both sides' framing (the
 * guest's answer is hostile: a malformed head answers fail_status). Hop-by-hop headers (RFC
 * 9110 §7.6.1) are not forwarded. An upgrade (101) turns the pair into a byte tunnel. Either
 * side closing cancels the other. Nothing is buffered beyond 64 KiB a direction. Bodies are not
 * limited by max_body. The handler returns at once after it. 0, or -errno (nothing was sent:
 * reply yourself). */
int http_relay(struct http_conn *c, const struct http_relay *want);
