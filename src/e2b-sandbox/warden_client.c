/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/warden_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/ipc.h"

#define BACKOFF_MIN_NS (10 * NS_PER_MS)
#define BACKOFF_MAX_NS NS_PER_S
#define STEADY_NS      NS_PER_S /* a connection that lasted so long was a good one */
#define HELLO_LIMIT_S  2
#define FULL_TRIES     1000 /* of a millisecond */

/* A call that waits; on its caller's stack, in the list while `waiting`. */
struct call {
    struct call *next;
    uint64_t request_id;
    struct warden_msg answer;
    int fd;
    int result; /* valid once done */
    bool done;
    struct warden_msg *rows; /* of LIST; room for WARDEN_MAX_SANDBOXES */
    size_t n_rows;
};

struct warden {
    struct sockaddr_un address;
    struct warden_events events;
    pthread_t thread;
    uint32_t their_version; /* that was refused last; the thread's */

    pthread_mutex_t lock;   /* around everything below */
    pthread_cond_t changed; /* a call is done, the connection came or went, or stop */
    int fd;                 /* -1 while not connected; closed by the thread only */
    bool stop;
    uint64_t next_id;
    uint32_t max_sandboxes;
    struct call *calls;
};

static struct timespec at_mono(uint64_t ns)
{
    return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_S),
                              .tv_nsec = (long)(ns % NS_PER_S) };
}

/* --- calls --- */

static void unlink_call(struct warden *w, struct call *c)
{
    struct call **at = &w->calls;

    while (*at && *at != c)
        at = &(*at)->next;
    if (*at)
        *at = c->next;
}

/* Sends without waiting while the lock is held: with a full queue it naps without it. A warden that reads nothing for a second
 * counts as gone. */
static int send_patiently(struct warden *w, const struct warden_msg *m)
{
    static const struct timespec nap = { .tv_nsec = 1000000 };

    for (int tries = 0; tries < FULL_TRIES && w->fd >= 0; tries++) {
        if (send(w->fd, m, sizeof *m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof *m)
            return 0;
        if (errno != EAGAIN && errno != EINTR)
            break;
        (void)pthread_mutex_unlock(&w->lock);
        (void)nanosleep(&nap, NULL);
        (void)pthread_mutex_lock(&w->lock);
    }
    if (w->fd >= 0)
        (void)shutdown(w->fd, SHUT_RDWR); /* wakes the thread, which reconnects */
    return -ENOTCONN;
}

static int begin_call(struct warden *w, struct call *c, struct warden_msg *m)
{
    c->request_id = ++w->next_id;
    m->version = WARDEN_VERSION;
    m->request_id = c->request_id;
    int rc = send_patiently(w, m);
    if (rc < 0)
        return rc;
    c->next = w->calls;
    w->calls = c;
    return 0;
}

static int run_call(struct warden *w, struct call *c, struct warden_msg *m, uint64_t timeout_ns)
{
    struct timespec until = at_mono(clock_mono_ns() + timeout_ns);

    c->fd = -1;
    (void)pthread_mutex_lock(&w->lock);
    int rc = begin_call(w, c, m);
    if (rc == 0) {
        while (!c->done && rc == 0)
            rc = -pthread_cond_timedwait(&w->changed, &w->lock, &until);
        unlink_call(w, c);
        rc = c->done ? c->result : -ETIMEDOUT;
    }
    (void)pthread_mutex_unlock(&w->lock);
    return rc;
}

int warden_call(struct warden *w, struct warden_msg *m, int *fd, uint64_t timeout_ns)
{
    struct call c = { 0 };
    int rc = run_call(w, &c, m, timeout_ns);

    if (fd)
        *fd = c.fd;
    else if (c.fd >= 0)
        (void)close(c.fd);
    if (rc == 0)
        *m = c.answer;
    return rc;
}

/* A warden that told more than there can be, or went round in circles, would keep us here. */
int warden_list(struct warden *w, struct warden_msg *rows, size_t *n, uint64_t timeout_ns)
{
    struct call c = { .rows = rows };
    uint32_t from = 0;

    do {
        struct warden_msg m = { .type = WARDEN_LIST, .n_sandboxes = from };
        size_t had = c.n_rows;
        c.done = false;
        int rc = run_call(w, &c, &m, timeout_ns);
        if (rc < 0)
            return rc;
        uint32_t next = c.answer.max_sandboxes;
        if (c.answer.status < 0 || c.answer.n_sandboxes != c.n_rows - had ||
            (next != 0 && next <= from))
            return -EPROTO;
        from = next;
    } while (from != 0);
    *n = c.n_rows;
    return 0;
}

bool warden_is_connected(struct warden *w)
{
    (void)pthread_mutex_lock(&w->lock);
    bool connected = w->fd >= 0;
    (void)pthread_mutex_unlock(&w->lock);
    return connected;
}

bool warden_wait_connected(struct warden *w, uint64_t timeout_ns)
{
    struct timespec until = at_mono(clock_mono_ns() + timeout_ns);
    int rc = 0;

    (void)pthread_mutex_lock(&w->lock);
    while (w->fd < 0 && rc == 0)
        rc = pthread_cond_timedwait(&w->changed, &w->lock, &until);
    bool connected = w->fd >= 0;
    (void)pthread_mutex_unlock(&w->lock);
    return connected;
}

uint32_t warden_max_sandboxes(struct warden *w)
{
    (void)pthread_mutex_lock(&w->lock);
    uint32_t max = w->max_sandboxes;
    (void)pthread_mutex_unlock(&w->lock);
    return max;
}

/* --- the reading thread --- */

/* Hands a message to the call that waits for it. True if it took the descriptor. */
static bool deliver(struct warden *w, const struct warden_msg *m, int fd)
{
    struct call *c;
    bool took = false;

    (void)pthread_mutex_lock(&w->lock);
    for (c = w->calls; c && c->request_id != m->request_id; c = c->next)
        ;
    if (c && !c->done && m->type == WARDEN_ROW) {
        if (c->rows && c->n_rows < WARDEN_MAX_SANDBOXES)
            c->rows[c->n_rows++] = *m;
    } else if (c && !c->done) {
        c->answer = *m;
        c->fd = fd;
        took = true;
        c->done = true;
        (void)pthread_cond_broadcast(&w->changed);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return took;
}

static void read_messages(struct warden *w, int fd)
{
    for (;;) {
        struct warden_msg m;
        AUTO_CLOSE int passed = -1;
        int rc = ipc_recv(fd, &m, sizeof m, &passed, 1, NULL);
        if (rc == -EAGAIN)
            continue;
        if (rc < 0 || m.version != WARDEN_VERSION)
            return;
        if (m.type == WARDEN_EXITED) {
            if (sandbox_id_ok(&m.id))
                w->events.on_exited(&m, w->events.arg);
        } else if (deliver(w, &m, passed)) {
            (void)fd_steal(&passed);
        }
    }
}

static int set_timeouts(int fd, int option, int seconds)
{
    struct timeval t = { .tv_sec = seconds };
    return setsockopt(fd, SOL_SOCKET, option, &t, sizeof t) < 0 ? -errno : 0;
}

/* Whoever else could listen there might lie about sandboxes: only root, or ourselves in a test, is believed. */
static bool is_trusted_peer(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 &&
           (peer.uid == 0 || peer.uid == geteuid());
}

/* -EPROTONOSUPPORT: m->version says theirs. */
static int greet(int fd, struct warden_msg *m)
{
    *m = (struct warden_msg){ .type = WARDEN_HELLO, .version = WARDEN_VERSION };
    int rc = ipc_send(fd, m, sizeof *m, NULL, 0);
    if (rc == 0)
        rc = ipc_recv(fd, m, sizeof *m, NULL, 0, NULL);
    if ((rc == 0 || rc == -EPROTO) && m->version != WARDEN_VERSION)
        return -EPROTONOSUPPORT;
    if (rc < 0)
        return rc;
    return m->type == WARDEN_HELLO && m->version == WARDEN_VERSION ? 0 : -EPROTO;
}

static int connect_once(const struct warden *w, struct warden_msg *hello)
{
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0 || connect(fd, (const struct sockaddr *)&w->address, sizeof w->address) < 0)
        return -errno;
    if (!is_trusted_peer(fd))
        return -EPERM;
    if ((rc = set_timeouts(fd, SO_SNDTIMEO, 1)) < 0 ||
        (rc = set_timeouts(fd, SO_RCVTIMEO, HELLO_LIMIT_S)) < 0 ||
        (rc = greet(fd, hello)) < 0 || (rc = set_timeouts(fd, SO_RCVTIMEO, 0)) < 0)
        return rc;
    return fd_steal(&fd);
}

/* Makes the connection usable for all; false if the program stops. */
static bool publish(struct warden *w, int fd, const struct warden_msg *hello)
{
    (void)pthread_mutex_lock(&w->lock);
    bool go = !w->stop;
    if (go) {
        w->fd = fd;
        w->max_sandboxes = hello->max_sandboxes;
        (void)pthread_cond_broadcast(&w->changed);
    }
    (void)pthread_mutex_unlock(&w->lock);
    return go;
}

/* No call will be answered any more. The number is unpublished before it is closed, so nobody can write to what reuses it. */
static void withdraw(struct warden *w)
{
    (void)pthread_mutex_lock(&w->lock);
    int fd = w->fd;
    w->fd = -1;
    for (struct call *c = w->calls; c; c = c->next) {
        if (c->done)
            continue;
        c->result = -ENOTCONN;
        c->done = true;
    }
    (void)pthread_cond_broadcast(&w->changed);
    (void)pthread_mutex_unlock(&w->lock);
    (void)close(fd);
}

/* Sleeps, but not past a stop. True if it goes on. */
static bool pause_for(struct warden *w, uint64_t ns)
{
    struct timespec until = at_mono(clock_mono_ns() + ns);
    int rc = 0;

    (void)pthread_mutex_lock(&w->lock);
    while (!w->stop && rc == 0)
        rc = pthread_cond_timedwait(&w->changed, &w->lock, &until);
    bool go = !w->stop;
    (void)pthread_mutex_unlock(&w->lock);
    return go;
}

static void serve_connection(struct warden *w, int fd, const struct warden_msg *hello)
{
    if (!publish(w, fd, hello)) {
        (void)close(fd);
        return;
    }
    log_info("warden_connected", "sandboxes=%u max=%u", hello->n_sandboxes,
             hello->max_sandboxes);
    w->events.on_connected(w->events.arg);
    read_messages(w, fd);
    withdraw(w);
}

/* One connection, from beginning to end. Returns 0 if it was good, or why it was not. */
static int try_connection(struct warden *w)
{
    uint64_t begun_ns = clock_mono_ns();
    struct warden_msg hello = { 0 };
    int fd = connect_once(w, &hello);

    if (fd == -EPROTONOSUPPORT)
        w->their_version = hello.version;
    if (fd < 0)
        return fd;
    serve_connection(w, fd, &hello);
    return clock_mono_ns() - begun_ns >= STEADY_NS ? 0 : -ECONNRESET;
}

static void *warden_main(void *arg)
{
    struct warden *w = arg;
    uint64_t wait_ns = BACKOFF_MIN_NS;
    int last_error = 0;

    do {
        int rc = try_connection(w);
        if (!pause_for(w, 0))
            break; /* it was we who ended it */
        if (rc == 0) {
            log_warn("warden_lost", "path=%s", w->address.sun_path);
            wait_ns = BACKOFF_MIN_NS;
        } else {
            if (rc != last_error && rc == -EPROTONOSUPPORT)
                log_warn(
                    "warden_unreachable",
                    "path=%s err=\"it speaks version %u of the protocol, this program %u\"",
                    w->address.sun_path, w->their_version, WARDEN_VERSION);
            else if (rc != last_error) /* once per reason, not per try */
                log_warn("warden_unreachable", "path=%s err=\"%s\"", w->address.sun_path,
                         strerrordesc_np(-rc));
            wait_ns = wait_ns * 2 < BACKOFF_MAX_NS ? wait_ns * 2 : BACKOFF_MAX_NS;
        }
        last_error = rc;
    } while (pause_for(w, wait_ns));
    return NULL;
}

int warden_start(struct warden **out, const char *path, const struct warden_events *events,
                 struct err *e)
{
    pthread_condattr_t monotonic;
    AUTO_FREE struct warden *w = calloc(1, sizeof *w);

    if (!w)
        return err_set(e, ENOMEM, "start the warden's client");
    w->fd = -1;
    w->events = *events;
    w->address.sun_family = AF_UNIX;
    if (str_copy(str_from(path), w->address.sun_path, sizeof w->address.sun_path) < 0)
        return err_say(e, ENAMETOOLONG,
                       "'%s' is too long for a socket's name: choose a shorter --run", path);
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&w->thread, NULL, warden_main, w);
    if (rc != 0)
        return err_set(e, rc, "start the warden's client");
    *out = ptr_steal(&w);
    return 0;
}

void warden_stop(struct warden *w)
{
    if (!w)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->stop = true;
    if (w->fd >= 0)
        (void)shutdown(w->fd, SHUT_RDWR);
    (void)pthread_cond_broadcast(&w->changed);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    (void)pthread_cond_destroy(&w->changed);
    (void)pthread_mutex_destroy(&w->lock);
    free(w);
}
