/* SPDX-License-Identifier: Apache-2.0 */
/* server_priv: what the parts of the server share. A connection is owned by exactly one side at
 * a time: by the reactor, or, while it is CONN_BUSY, by the pool thread that runs its handler.
 * It changes hands only under server.lock, and epoll reports nothing about a connection that a
 * handler owns (EPOLLONESHOT, or not registered). */
#pragma once
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "base/clock.h"
#include "codec/http1.h"
#include "http/server.h"

#define READ_SIZE       65536u /* most bytes of one read */
#define IN_MAX          65536u /* bytes of a connection read ahead; more than HTTP1_HEAD_MAX */
#define ANSWER_HEAD_MAX 65536u /* bytes of a response head we build */
#define IP_BUCKETS      1024u
#define THREAD_STACK    ((size_t)256 << 10)
#define NEVER           UINT64_MAX

/* Bytes of the rest of a request body that are read in order to keep the connection. */
#define DRAIN_MAX (UINT64_C(256) << 10)
/* How long and how much we read on after our last byte, so that the peer can read that. */
#define LINGER_NS      (5 * NS_PER_S)
#define LINGER_STOP_NS (NS_PER_S / 4) /* while the server stops */
#define LINGER_MAX     (UINT64_C(64) << 20)
/* What relays get of the grace of http_server_stop. */
#define RELAY_STOP_NS NS_PER_S
/* Least time between two looks at all deadlines. */
#define SWEEP_GAP_NS (20 * NS_PER_MS)

enum conn_state {
    CONN_FRESH,  /* accepted, no byte yet */
    CONN_IDLE,   /* between requests */
    CONN_HEAD,   /* part of a head is here */
    CONN_BUSY,   /* a handler has it */
    CONN_DRAIN,  /* answered; the rest of the request body is thrown away */
    CONN_LINGER, /* our side is shut down; reading until the peer closes */
    CONN_RELAY,
    CONN_DEAD /* closed; freed at the end of this turn of the reactor */
};

enum conn_reply {
    REPLY_NONE,
    REPLY_LENGTH,
    REPLY_CHUNKED,
    REPLY_UNTIL_CLOSE,
    REPLY_DONE,
    REPLY_RAW,
    REPLY_RELAY
};

/* What the reactor does with a connection that a handler gave back. */
enum conn_after { AFTER_NEXT, AFTER_DRAIN, AFTER_LINGER, AFTER_CLOSE, AFTER_RELAY };

/* What an epoll event is about. */
enum watch_kind { WATCH_LISTEN, WATCH_WAKE, WATCH_CLIENT, WATCH_UPSTREAM };
struct watch {
    enum watch_kind kind;
    struct http_conn *c;
};

/* Where we are in the body of the current request. */
struct body {
    enum http1_framing framing;
    struct http1_chunked chunked;
    uint64_t left;      /* HTTP1_LENGTH: bytes still to come */
    uint64_t delivered; /* to the handler */
    uint64_t max;
    int failed;     /* 0, or the -errno that every further read returns */
    bool started;   /* the handler has asked for it */
    bool continued; /* 100 was sent */
    bool done;
};

/* How often a growing head has been looked at. Parsing starts at its first byte each time, so
 * that a sender of single bytes could make us do the square of its work: after LOOK_BUDGET
 * bytes, only the end of a line or a good piece more is worth a look. */
#define LOOK_BUDGET (1u << 20)
struct look {
    size_t seen;   /* bytes that were there the last time */
    uint64_t work; /* bytes looked at, all times together */
};
bool look_worth(struct look *l, const struct buf *in); /* then counts it as done */

struct relay;

struct http_conn {
    struct http_server *s;
    int fd;
    struct watch watch;
    bool registered; /* with epoll */
    /* Written by a handler only under server.lock. Atomic, since epoll orders what it reports
     * behind what was done before epoll_ctl, but no C compiler knows that. */
    _Atomic enum conn_state state;
    uint64_t deadline_ns; /* likewise only under the lock */

    struct http_conn *prev, *next; /* all connections; the reactor's */
    struct http_conn *link;        /* in one of: jobs, returned (lock); batch, dead (reactor) */
    struct http_conn *ready_next;  /* relays with more to do */
    bool ready;
    struct http_conn *ip_next, **ip_at; /* those of the same hash of the address */
    unsigned char ip[16];               /* IPv6 cut to its /64 */
    bool has_ip;
    char peer[INET6_ADDRSTRLEN];

    struct buf in; /* head, then what was read behind it */
    size_t in_off; /* bytes of it already used, the head included */
    struct look look;
    /* Of the next request: what was read from the socket behind the end of a chunked body. */
    struct buf ahead;
    struct http1_head *head; /* owned; borrows from in */
    uint64_t started_ns;
    struct body body;
    uint64_t drained; /* bytes thrown away in CONN_DRAIN or CONN_LINGER */

    enum conn_reply reply;
    unsigned status;
    uint64_t reply_left; /* REPLY_LENGTH */
    bool keep, close_after;
    bool is_head; /* the request's method */
    bool no_body; /* nothing follows the response head */
    int broken;   /* 0, or the -errno with which writing failed: the answer will not arrive */
    enum conn_after after;
    struct relay *relay;
};

struct http_server {
    struct http_config cfg;
    int listen_fd, epoll_fd, wake_fd;
    int spare_fd; /* given up for an accept when descriptors run out */
    struct watch listen_watch, wake_watch;
    pthread_t reactor;

    pthread_mutex_t lock; /* of what follows, up to threads_end */
    pthread_cond_t work;  /* a job was queued, or stop */
    pthread_cond_t quiet; /* a handler, relay or thread ended while stopping; a look is done */
    struct http_conn *jobs, **jobs_end;
    struct http_conn *returned, **returned_end;
    bool wake_pending;
    unsigned threads, idle_threads;
    bool is_waking; /* a thread was signalled or made, and has not looked at the jobs yet */
    bool threads_end;
    uint64_t looks_wanted,
        looks_done; /* by http_server_end_relays; `quiet` tells of the second */

    atomic_uint busy;     /* requests given to handlers and not back yet */
    atomic_uint stopping; /* 0, 1 = no new work, 2 = end what is left */
    atomic_uint n_conns, n_relays;
    atomic_ullong accepted, requests, refused_heads, refused_busy;

    /* The reactor's own. */
    uint64_t now_ns, next_sweep_ns;
    struct http_conn *conns, *batch, **batch_end, *dead, *ready;
    struct http_conn *ip_bucket[IP_BUCKETS];
    struct http1_head response; /* scratch of relays */
    char scratch[READ_SIZE];
};

/* --- server.c --- */

void server_wake(struct http_server *s); /* lock held */

/* --- pool.c --- */

/* Queues a list through link. False: no thread could be made, call pool_retry after a while. */
bool pool_push(struct http_server *s, struct http_conn *first);
bool pool_retry(struct http_server *s);

/* --- reactor.c: for its own thread, except conn_arm --- */

void *reactor_main(void *server);
/* Lets epoll tell once when it is readable or hung up, and what it is then. 0 or -errno. */
int conn_arm(struct http_conn *c, enum conn_state state);
void conn_disarm(struct http_conn *c); /* epoll forgets it */
void conn_deadline(struct http_conn *c, uint64_t at_ns);
void conn_close(struct http_conn *c);
/* Shuts our side down and reads on until the peer closes. */
void conn_linger(struct http_conn *c);
/* The exchange is over: forgets it, and goes on with what was read ahead. */
void conn_next_request(struct http_conn *c);
/* Throws the rest of the body away, then goes on with the next request. */
void conn_drain(struct http_conn *c);
/* Answers an error, then lingers. */
void conn_answer(struct http_conn *c, unsigned status, const char *message,
                 const char *headers);

/* --- handler.c --- */

/* On a pool thread: calls the handler and decides c->after. */
void handler_run(struct http_conn *c);

/* --- answer.c --- */

enum answer_length { ANSWER_NONE, ANSWER_LENGTH, ANSWER_CHUNKED };
enum answer_conn { ANSWER_PLAIN, ANSWER_CLOSE, ANSWER_KEEP /* spelled out, for HTTP/1.0 */ };
void answer_head(struct buf *b, unsigned status, const char *content_type, const char *headers,
                 enum answer_length how, uint64_t length, enum answer_conn conn);
void answer_error_body(const struct http_config *cfg, unsigned status, const char *message,
                       struct buf *out);
/* Are these whole lines, none of them empty? */
bool answer_headers_ok(const char *headers, const char *content_type);
void *iov_base(const void *p); /* struct iovec has no const */
void iov_advance(struct iovec **v, size_t *n, size_t bytes);

/* --- relay.c: for the reactor --- */

void relay_start(struct http_conn *c);
void relay_event(struct http_conn *c, bool upstream, uint32_t events);
void relay_run(struct http_conn *c);
void relay_expire(struct http_conn *c);
void relay_cancel(struct http_conn *c);        /* both sides are closed */
bool relay_is_over(const struct http_conn *c); /* as whoever began it says */
