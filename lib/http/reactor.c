/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/auto.h"
#include "base/clock.h"
#include "http/server_priv.h"

#define EVENTS_MAX  128
#define ACCEPTS_MAX 64 /* of one turn: a flood must not starve those that are here */
#define RETRY_NS    (100 * NS_PER_MS) /* until the next try to make a thread */

/* --- deadlines: one a connection, looked at all together when the earliest may be due --- */

static void sweep_by(struct http_server *s, uint64_t at_ns)
{
    if (at_ns < s->next_sweep_ns)
        s->next_sweep_ns = at_ns;
}

void conn_deadline(struct http_conn *c, uint64_t at_ns)
{
    c->deadline_ns = at_ns;
    sweep_by(c->s, at_ns);
}

static uint64_t after(uint64_t now_ns, uint64_t span_ns)
{
    return span_ns > NEVER - now_ns ? NEVER : now_ns + span_ns;
}

/* --- connections --- */

int conn_arm(struct http_conn *c, enum conn_state state)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT,
                              .data.ptr = &c->watch };
    int epoll_fd = c->s->epoll_fd;
    bool was = c->registered;

    c->registered = true;
    /* The last write, and the first read of the reactor. No look at c after epoll_ctl. */
    c->state = state;
    if (epoll_ctl(epoll_fd, was ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &ev) == 0)
        return 0;
    c->registered = was;
    return -errno;
}

void conn_disarm(struct http_conn *c)
{
    /* By hand, also before close: a child that is between fork and exec still has the
     * description, and epoll would go on to report it for a connection that is freed. */
    if (c->registered)
        (void)epoll_ctl(c->s->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
    c->registered = false;
}

static void forget_request(struct http_conn *c)
{
    free(c->head);
    c->head = NULL;
    buf_fini(&c->in);
    buf_fini(&c->ahead);
    c->in_off = 0;
    c->look = (struct look){ 0 };
}

void conn_close(struct http_conn *c)
{
    struct http_server *s = c->s;

    conn_disarm(c);
    (void)pthread_mutex_lock(
        &s->lock); /* a handler that just gave it back is out of epoll_ctl then */
    (void)close(c->fd);
    c->fd = -1;
    (void)pthread_mutex_unlock(&s->lock);
    forget_request(c);
    c->state = CONN_DEAD;
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    if (c->has_ip) {
        *c->ip_at = c->ip_next;
        if (c->ip_next)
            c->ip_next->ip_at = c->ip_at;
    }
    c->link = s->dead; /* not freed yet: an event of this turn may still name it */
    s->dead = c;
    atomic_fetch_sub(&s->n_conns, 1);
}

static void free_dead(struct http_server *s)
{
    struct http_conn *c = s->dead;

    s->dead = NULL;
    while (c) {
        struct http_conn *next = c->link;
        if (c->ready) { /* still listed as a relay with work; the next turn takes it off */
            c->link = s->dead;
            s->dead = c;
        } else {
            free(c);
        }
        c = next;
    }
}

static void wait_readable(struct http_conn *c)
{
    if (conn_arm(c, c->state) != 0)
        conn_close(c); /* no memory in the kernel */
}

static bool would_block(int err)
{
    return err == EAGAIN ||
           err == EINTR; /* armed again, the reactor sees either a second time */
}

void conn_linger(struct http_conn *c)
{
    struct http_server *s = c->s;

    /* Closing a socket that holds unread bytes resets it, and the reset overtakes our answer.
     * So: end of file to the peer, then read on for a while. */
    forget_request(c);
    if (shutdown(c->fd, SHUT_WR) != 0) {
        conn_close(c);
        return;
    }
    c->state = CONN_LINGER;
    c->drained = 0;
    conn_deadline(c, after(s->now_ns, atomic_load(&s->stopping) ? LINGER_STOP_NS : LINGER_NS));
    wait_readable(c);
}

static void linger_read(struct http_conn *c)
{
    for (int i = 0; i < 8; i++) {
        ssize_t n = recv(c->fd, c->s->scratch, READ_SIZE, MSG_DONTWAIT);
        if (n < 0 && would_block(errno))
            break;
        if (n <= 0 || (c->drained += (uint64_t)n) > LINGER_MAX) {
            conn_close(c);
            return;
        }
    }
    wait_readable(c);
}

void conn_answer(struct http_conn *c, unsigned status, const char *message, const char *headers)
{
    AUTO_BUF struct buf body = BUF_INIT(ANSWER_HEAD_MAX);
    AUTO_BUF struct buf head = BUF_INIT(ANSWER_HEAD_MAX);

    answer_error_body(&c->s->cfg, status, message, &body);
    answer_head(&head, status, "application/json", headers, ANSWER_LENGTH, body.n,
                ANSWER_CLOSE);
    if (!c->is_head)
        buf_add_str(&head, buf_str(&body));
    /* Small, so that it fits into any socket buffer whose peer reads its answers; with one that
     * does not, no patience. */
    if (!buf_ok(&body) || !buf_ok(&head) ||
        send(c->fd, head.p, head.n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)head.n)
        conn_close(c);
    else
        conn_linger(c);
}

static void refuse_head(struct http_conn *c, unsigned status, const char *message)
{
    atomic_fetch_add(&c->s->refused_heads, 1);
    c->is_head = false;
    conn_answer(c, status, message, NULL);
}

/* --- heads --- */

static void begin_request(struct http_conn *c)
{
    struct http_server *s = c->s;
    const struct http1_head *h = c->head;

    atomic_fetch_add(&s->requests, 1);
    c->started_ns = s->now_ns;
    c->body = (struct body){ .framing = h->framing, .max = s->cfg.max_body };
    if (h->framing == HTTP1_LENGTH)
        c->body.left = h->content_length;
    c->body.done =
        h->framing == HTTP1_NO_BODY || (h->framing == HTTP1_LENGTH && h->content_length == 0);
    c->reply = REPLY_NONE;
    c->status = 0;
    c->broken = 0;
    c->keep = c->close_after = c->no_body = false;
    c->is_head = str_eq(h->method, STR("HEAD"));
    c->drained = 0;

    unsigned cap = s->cfg.max_threads;
    if (s->cfg.reserved_threads > 0 && !(s->cfg.is_urgent && s->cfg.is_urgent(h, s->cfg.arg)))
        cap -= s->cfg.reserved_threads;
    if (atomic_load(&s->busy) >= cap || atomic_load(&s->stopping)) {
        atomic_fetch_add(&s->refused_busy, 1);
        if (s->cfg.on_done)
            s->cfg.on_done(h, 503, 0, s->cfg.arg);
        conn_answer(c, 503, "too many requests at once", "Retry-After: 1\r\n");
        return;
    }
    atomic_fetch_add(&s->busy, 1);
    c->state = CONN_BUSY;
    sweep_by(s,
             after(s->now_ns,
                   s->cfg.idle_timeout_ns)); /* give_back cannot: it may go idle right after */
    c->link = NULL;
    *s->batch_end = c;
    s->batch_end = &c->link;
}

bool look_worth(struct look *l, const struct buf *in)
{
    if (l->work > LOOK_BUDGET && in->n - l->seen < 4096 &&
        !memchr(in->p + l->seen, '\n', in->n - l->seen))
        return false;
    l->work += in->n;
    l->seen = in->n;
    return true;
}

/* Goes on with what is in c->in: a request, more to read, or a refusal. */
static void try_head(struct http_conn *c)
{
    struct http_server *s = c->s;
    enum http1_reason why = HTTP1_OK;

    if (c->state != CONN_HEAD) {
        c->state = CONN_HEAD;
        conn_deadline(c, after(s->now_ns, s->cfg.head_timeout_ns));
    }
    if (!c->head && !(c->head = calloc(1, sizeof *c->head))) {
        conn_close(c);
        return;
    }
    int n = 0;
    if (look_worth(&c->look, &c->in))
        n = http1_parse_request(c->in.p, c->in.n, c->head, &why);
    if (n < 0) {
        refuse_head(c, http1_reason_status(why), http1_reason(why));
    } else if (n > 0) {
        c->in_off = (size_t)n;
        begin_request(c);
    } else if (c->in.n >= IN_MAX) {
        refuse_head(c, 431, http1_reason(HTTP1_HEAD_TOO_LARGE));
    } else {
        wait_readable(c);
    }
}

static void read_head(struct http_conn *c)
{
    struct http_server *s = c->s;
    ssize_t n = recv(c->fd, s->scratch, IN_MAX - c->in.n, MSG_DONTWAIT);

    if (n < 0 && would_block(errno)) {
        wait_readable(c);
    } else if (n < 0) {
        conn_close(c);
    } else if (n == 0 && c->in.n > 0) {
        refuse_head(c, 400, "the connection ended inside a request head");
    } else if (n == 0) {
        conn_close(c);
    } else {
        buf_add(&c->in, s->scratch, (size_t)n);
        if (!buf_ok(&c->in))
            conn_close(c);
        else
            try_head(c);
    }
}

void conn_next_request(struct http_conn *c)
{
    struct http_server *s = c->s;

    free(c->head);
    c->head = NULL;
    c->look = (struct look){ 0 };
    if (c->in_off < c->in.n) {
        buf_consume(&c->in, c->in_off);
    } else {
        buf_fini(&c->in);
        c->in = c->ahead;
        c->ahead = BUF_INIT(IN_MAX);
    }
    c->in_off = 0;
    if (atomic_load(&s->stopping)) {
        conn_linger(c);
    } else if (c->in.n > 0) {
        c->state = CONN_IDLE;
        try_head(c);
    } else {
        buf_fini(&c->in);
        c->state = CONN_IDLE;
        conn_deadline(c, after(s->now_ns, s->cfg.idle_timeout_ns));
        wait_readable(c);
    }
}

/* --- the rest of a body that the handler did not want --- */

/* Takes up to n bytes of the body at p. Returns how many, or -1 on bad framing. */
static long skip_body(struct body *b, const char *p, size_t n)
{
    size_t used = 0;

    if (b->framing == HTTP1_LENGTH) {
        used = n < b->left ? n : (size_t)b->left;
        b->left -= used;
        b->done = b->left == 0;
        return (long)used;
    }
    while (used < n && !b->chunked.done) {
        struct str data;
        long r = http1_chunked_decode(&b->chunked, p + used, n - used, &data);
        if (r <= 0)
            return -1;
        used += (size_t)r;
    }
    b->done = b->chunked.done;
    return (long)used;
}

/* Returns 1 to go on, 0 if there is nothing at the moment, -1 if the connection is not worth it. */
static int drain_piece(struct http_conn *c)
{
    struct http_server *s = c->s;
    bool from_in = c->in_off < c->in.n;
    const char *p = from_in ? c->in.p + c->in_off : s->scratch;
    ssize_t n = from_in ? (ssize_t)(c->in.n - c->in_off)
                        : recv(c->fd, s->scratch, READ_SIZE, MSG_DONTWAIT);

    if (n < 0 && would_block(errno))
        return 0;
    long used = n <= 0 ? -1 : skip_body(&c->body, p, (size_t)n);
    if (used < 0 || (c->drained += (uint64_t)used) > DRAIN_MAX)
        return -1;
    if (from_in)
        c->in_off += (size_t)used;
    else
        buf_add(&c->ahead, p + used, (size_t)(n - used));
    return 1;
}

void conn_drain(struct http_conn *c)
{
    struct http_server *s = c->s;

    if (c->state != CONN_DRAIN) {
        c->state = CONN_DRAIN;
        conn_deadline(c, after(s->now_ns, s->cfg.io_timeout_ns));
    }
    int rc = 1;
    for (int i = 0; i < 8 && !c->body.done && rc > 0; i++)
        rc = drain_piece(c);
    if (rc < 0)
        conn_linger(c);
    else if (!buf_ok(&c->ahead))
        conn_close(c);
    else if (c->body.done)
        conn_next_request(c);
    else
        wait_readable(c);
}

/* --- accept --- */

static void set_peer(struct http_conn *c, const struct sockaddr_storage *sa)
{
    c->has_ip = true;
    if (sa->ss_family == AF_INET) {
        struct sockaddr_in in4;
        memcpy(&in4, sa, sizeof in4);
        memcpy(c->ip, &in4.sin_addr, 4);
        (void)inet_ntop(AF_INET, &in4.sin_addr, c->peer, sizeof c->peer);
    } else if (sa->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, sa, sizeof in6);
        if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
            memcpy(c->ip, in6.sin6_addr.s6_addr + 12, 4);
            (void)inet_ntop(AF_INET, in6.sin6_addr.s6_addr + 12, c->peer, sizeof c->peer);
        } else { /* one customer has a /64 */
            memcpy(c->ip, in6.sin6_addr.s6_addr, 8);
            c->ip[8] = 6;
            (void)inet_ntop(AF_INET6, &in6.sin6_addr, c->peer, sizeof c->peer);
        }
    } else {
        c->has_ip = false;
        memcpy(c->peer, "unix", sizeof "unix");
    }
}

static bool waits_for_a_request(const struct http_conn *c)
{
    return c->state == CONN_IDLE || c->state == CONN_FRESH || c->state == CONN_HEAD;
}

/* Makes room for a newcomer (of `like`'s address, if given): of those between two requests the one that has been idle longest goes,
 * else the one that has been longest at sending a request. Without this, whoever came first and says nothing keeps all others out.
 * False if all are at work. */
static bool evict(struct http_server *s, const struct http_conn *like)
{
    struct http_conn *victim = NULL;

    for (struct http_conn *c = s->conns; c; c = c->next) {
        if (!waits_for_a_request(c) ||
            (like && (!c->has_ip || memcmp(c->ip, like->ip, sizeof c->ip) != 0)))
            continue;
        bool idle = c->state == CONN_IDLE, victim_idle = victim && victim->state == CONN_IDLE;
        if (!victim || (idle && !victim_idle) ||
            (idle == victim_idle && c->deadline_ns < victim->deadline_ns))
            victim = c;
    }
    if (victim)
        conn_close(victim);
    return victim != NULL;
}

/* Enters c among those of its address, unless there are too many that are at work. */
static bool admit_ip(struct http_conn *c)
{
    struct http_server *s = c->s;
    unsigned hash = 0, n = 0;

    if (!c->has_ip)
        return true;
    for (size_t i = 0; i < sizeof c->ip; i++)
        hash = hash * 31 + c->ip[i];
    struct http_conn **bucket = &s->ip_bucket[hash % IP_BUCKETS];
    if (s->cfg.max_conns_per_ip > 0)
        for (const struct http_conn *o = *bucket; o; o = o->ip_next)
            n += memcmp(o->ip, c->ip, sizeof c->ip) == 0;
    if (s->cfg.max_conns_per_ip > 0 && n >= s->cfg.max_conns_per_ip && !evict(s, c))
        return false;
    c->ip_next = *bucket;
    c->ip_at = bucket;
    if (c->ip_next)
        c->ip_next->ip_at = &c->ip_next;
    *bucket = c;
    return true;
}

static void add_conn(struct http_server *s, int fd, const struct sockaddr_storage *sa)
{
    struct http_conn *c = NULL;

    if (atomic_load(&s->n_conns) < s->cfg.max_conns || evict(s, NULL))
        c = calloc(1, sizeof *c);
    if (!c) {
        (void)close(fd);
        return;
    }
    c->s = s;
    c->fd = fd;
    c->watch = (struct watch){ WATCH_CLIENT, c };
    c->in = c->ahead = BUF_INIT(IN_MAX);
    set_peer(c, sa);
    if (!admit_ip(c)) {
        (void)close(fd);
        free(c);
        return;
    }
    c->next = s->conns;
    if (c->next)
        c->next->prev = c;
    s->conns = c;
    atomic_fetch_add(&s->n_conns, 1);
    atomic_fetch_add(&s->accepted, 1);
    c->state = CONN_FRESH;
    conn_deadline(c, after(s->now_ns, s->cfg.head_timeout_ns));
    wait_readable(c);
}

/* Out of descriptors, the listening socket would stay readable and we would spin. So one is
 * kept to take the connection with and turn it away; unless by now there is another to keep. */
static int accept_with_spare(struct http_server *s, struct sockaddr *sa, socklen_t *len)
{
    if (s->spare_fd >= 0)
        (void)close(s->spare_fd);
    int fd = accept4(s->listen_fd, sa, len, SOCK_CLOEXEC | SOCK_NONBLOCK);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (s->spare_fd < 0 && fd >= 0) {
        (void)close(fd);
        fd = -1;
        s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    return fd;
}

static void accept_some(struct http_server *s)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage sa = { 0 };
        struct sockaddr *to = (struct sockaddr *)&sa;
        socklen_t len = sizeof sa;
        int fd = accept4(s->listen_fd, to, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
            len = sizeof sa;
            fd = accept_with_spare(s, to, &len);
        }
        if (fd < 0)
            return; /* mostly EAGAIN: no more. If there is, epoll tells again */
        add_conn(s, fd, &sa);
    }
}

/* --- the loop --- */

static void on_event(struct http_server *s, const struct watch *w, uint32_t events)
{
    struct http_conn *c = w->c;
    uint64_t count;

    switch (w->kind) {
    case WATCH_LISTEN:
        accept_some(s);
        return;
    case WATCH_WAKE:
        (void)!read(s->wake_fd, &count, sizeof count); /* only to be readable no more */
        return;
    case WATCH_UPSTREAM:
        if (c->state == CONN_RELAY)
            relay_event(c, true, events);
        return;
    case WATCH_CLIENT:
        break;
    }
    switch ((enum conn_state)c->state) {
    case CONN_FRESH:
    case CONN_IDLE:
    case CONN_HEAD:
        read_head(c);
        break;
    case CONN_DRAIN:
        conn_drain(c);
        break;
    case CONN_LINGER:
        linger_read(c);
        break;
    case CONN_RELAY:
        relay_event(c, false, events);
        break;
    case CONN_BUSY: /* an event of this turn from before it was handed over */
    case CONN_DEAD:
        break;
    }
}

static void take_returned(struct http_server *s)
{
    (void)pthread_mutex_lock(&s->lock);
    struct http_conn *c = s->returned;
    s->returned = NULL;
    s->returned_end = &s->returned;
    s->wake_pending = false;
    (void)pthread_mutex_unlock(&s->lock);

    while (c) {
        struct http_conn *next = c->link;
        switch (c->after) {
        case AFTER_NEXT:
            conn_next_request(c);
            break;
        case AFTER_DRAIN:
            conn_drain(c);
            break;
        case AFTER_LINGER:
            conn_linger(c);
            break;
        case AFTER_CLOSE:
            conn_close(c);
            break;
        case AFTER_RELAY:
            relay_start(c);
            break;
        }
        c = next;
    }
}

static void run_ready(struct http_server *s)
{
    struct http_conn *c = s->ready;

    s->ready = NULL;
    while (c) {
        struct http_conn *next = c->ready_next;
        c->ready = false;
        if (c->state == CONN_RELAY)
            relay_run(c);
        c = next;
    }
}

static void expire(struct http_conn *c)
{
    switch ((enum conn_state)c->state) {
    case CONN_HEAD:
        if (atomic_load(&c->s->stopping))
            conn_close(c);
        else
            refuse_head(c, 408, "the request head took too long");
        break;
    case CONN_RELAY:
        relay_expire(c);
        break;
    case CONN_FRESH:
    case CONN_IDLE:
    case CONN_DRAIN:
    case CONN_LINGER:
        conn_close(c);
        break;
    case CONN_BUSY:
    case CONN_DEAD:
        break;
    }
}

/* With the lock, for a connection that may be with a handler: when is it due? */
static uint64_t due(const struct http_server *s, const struct http_conn *c, unsigned stopping)
{
    switch ((enum conn_state)c->state) {
    case CONN_BUSY:
        return after(s->now_ns, s->cfg.idle_timeout_ns); /* not before: it is idle first */
    case CONN_FRESH:
    case CONN_IDLE:
    case CONN_HEAD:
        return stopping ? 0 : c->deadline_ns;
    case CONN_LINGER:
        return stopping && c->deadline_ns > after(s->now_ns, LINGER_STOP_NS)
                   ? after(s->now_ns, LINGER_STOP_NS)
                   : c->deadline_ns;
    case CONN_DRAIN:
    case CONN_RELAY:
    case CONN_DEAD:
        break;
    }
    return stopping > 1 ? 0 : c->deadline_ns;
}

static void sweep(struct http_server *s)
{
    unsigned stopping = atomic_load(&s->stopping);
    struct http_conn *late = NULL;

    s->next_sweep_ns = NEVER;
    (void)pthread_mutex_lock(&s->lock);
    for (struct http_conn *c = s->conns; c; c = c->next) {
        uint64_t at = due(s, c, stopping);
        if (at <= s->now_ns) {
            c->link = late;
            late = c;
            continue;
        }
        if (c->state == CONN_LINGER)
            c->deadline_ns = at;
        else if (c->state == CONN_BUSY && stopping > 1)
            (void)shutdown(c->fd, SHUT_RDWR); /* its handler finds the peer gone */
        sweep_by(s, at);
    }
    (void)pthread_mutex_unlock(&s->lock);
    while (late) {
        struct http_conn *next = late->link;
        if (stopping > 1 && late->state == CONN_RELAY)
            relay_cancel(late);
        else
            expire(late);
        late = next;
    }
    uint64_t soonest = s->now_ns + SWEEP_GAP_NS;
    if (s->next_sweep_ns < soonest)
        s->next_sweep_ns = soonest;
}

/* Whoever waits for a look may go on. */
static void end_relays(struct http_server *s)
{
    (void)pthread_mutex_lock(&s->lock);
    uint64_t wanted = s->looks_wanted;
    bool is_due = wanted != s->looks_done;
    (void)pthread_mutex_unlock(&s->lock);
    if (!is_due)
        return;
    for (struct http_conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (c->state == CONN_RELAY && relay_is_over(c))
            relay_cancel(c);
    }
    (void)pthread_mutex_lock(&s->lock);
    s->looks_done = wanted;
    (void)pthread_cond_broadcast(&s->quiet);
    (void)pthread_mutex_unlock(&s->lock);
}

static int wait_ms(const struct http_server *s)
{
    if (s->ready)
        return 0;
    if (s->next_sweep_ns == NEVER)
        return -1;
    if (s->next_sweep_ns <= s->now_ns)
        return 0;
    uint64_t ms = (s->next_sweep_ns - s->now_ns + NS_PER_MS - 1) / NS_PER_MS;
    return ms > 60000 ? 60000 : (int)ms;
}

static void stop_accepting(struct http_server *s)
{
    if (s->listen_fd >= 0) {
        (void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listen_fd, NULL);
        (void)close(s->listen_fd);
        s->listen_fd = -1;
    }
    s->next_sweep_ns = 0; /* everybody's deadline may have come nearer */
}

/* Last in a turn: no event of it can still name a connection that a handler owns. */
static void hand_out(struct http_server *s)
{
    if (!s->batch)
        return;
    if (!pool_push(s, s->batch))
        sweep_by(s, s->now_ns + RETRY_NS);
    s->batch = NULL;
    s->batch_end = &s->batch;
}

void *reactor_main(void *server)
{
    struct http_server *s = server;
    struct epoll_event ev[EVENTS_MAX];
    unsigned seen_stopping = 0;

    s->now_ns = clock_mono_ns();
    for (;;) {
        int n = epoll_wait(s->epoll_fd, ev, EVENTS_MAX, wait_ms(s));
        s->now_ns = clock_mono_ns();
        for (int i = 0; i < n; i++)
            on_event(s, ev[i].data.ptr, ev[i].events);
        take_returned(s);
        run_ready(s);
        end_relays(s);

        unsigned stopping = atomic_load(&s->stopping);
        if (stopping != seen_stopping) {
            seen_stopping = stopping;
            stop_accepting(s);
        }
        if (s->now_ns >= s->next_sweep_ns) {
            sweep(s);
            if (!pool_retry(s))
                sweep_by(s, s->now_ns + RETRY_NS);
        }
        hand_out(s);
        free_dead(s);
        if (stopping > 1 && !s->conns && atomic_load(&s->busy) == 0)
            return NULL;
    }
}
