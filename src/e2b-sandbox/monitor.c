/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/ipc.h"

#define ANSWER_LIMIT_S 3 /* a freeze may take a second */
#define LOCK_LIMIT_NS                                                                          \
    (5 * NS_PER_S) /* longer than one call: who waits longer meets a monitor that hangs */
#define OPEN_LIMIT_NS (3 * NS_PER_S)
#define SLOW_NS       NS_PER_S /* a call that takes so long is not an ordinary one */
#define WAITERS_SLOW  8u       /* threads that may wait behind a slow call, */
#define WAITERS_MAX   128u     /* and behind any: the rest of the pool is for other sandboxes */
#define ENDING_TRIES  4
#define ENDING_NAP_NS (5 * NS_PER_MS)

/* A monitor that hangs must not take the thread with it. */
static int set_limits(int fd)
{
    const struct timeval t = { .tv_sec = ANSWER_LIMIT_S };
    return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t) < 0 ||
                   setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t) < 0
               ? -errno
               : 0;
}

static void drop(struct sandbox *s)
{
    if (s->monitor.fd >= 0)
        (void)close(s->monitor.fd);
    s->monitor.fd = -1;
}

static int open_connection(struct sandbox *s, struct warden *w)
{
    struct warden_msg m = { .type = WARDEN_OPEN, .id = s->facts.id };
    AUTO_CLOSE int fd = -1;
    int rc = warden_call(w, &m, &fd, OPEN_LIMIT_NS);

    if (rc < 0)
        return rc;
    if (m.status < 0)
        return m.status == -ENOENT ? -ENOENT : -ENOTCONN;
    if (fd < 0 || set_limits(fd) < 0)
        return -ENOTCONN;
    s->monitor.fd = fd_steal(&fd);
    return 0;
}

static int exchange(struct sandbox *s, const struct monitor_msg *ask,
                    struct monitor_msg *answer, int *fd)
{
    *fd = -1;
    int rc = ipc_send(s->monitor.fd, ask, sizeof *ask, NULL, 0);
    answer->version = MONITOR_VERSION; /* unless one comes that says another */
    if (rc == 0)
        rc = ipc_recv(s->monitor.fd, answer, sizeof *answer, fd, 1, NULL);
    if ((rc == 0 || rc == -EPROTO) && answer->version != MONITOR_VERSION) {
        log_error("monitor_refused", "sandbox=%s why=version theirs=%u ours=%u",
                  s->facts.id.text, answer->version, MONITOR_VERSION);
        rc = -EPROTONOSUPPORT;
    } else if (rc == 0 &&
               (answer->request_id != ask->request_id || answer->type != ask->type)) {
        rc = -EPROTO;
    }
    if (rc < 0 && *fd >= 0)
        (void)close(fd_steal(fd));
    return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

/* A monitor that is just ending refuses connections, or breaks them, before the warden has heard of it: a moment later it is known
 * to be gone. */
static void nap(void)
{
    const struct timespec t = { .tv_nsec = ENDING_NAP_NS };
    (void)nanosleep(&t, NULL);
}

static int call_seized(struct sandbox *s, struct warden *w, struct monitor_msg *m, int *fd)
{
    struct monitor_msg answer = { 0 };
    int rc = 0;

    /* A connection that has been idle may be dead: the next try is on a new one. */
    for (int tries = 0; tries < ENDING_TRIES; tries++) {
        if (s->monitor.fd < 0 && (rc = open_connection(s, w)) < 0) {
            if (rc != -ENOTCONN || !warden_is_connected(w))
                return rc;
            nap();
            continue;
        }
        m->version = MONITOR_VERSION;
        m->request_id = ++s->monitor.next_id;
        rc = exchange(s, m, &answer, fd);
        if (rc == 0) {
            *m = answer;
            return m->status > 0 ? -EPROTO : m->status;
        }
        drop(s); /* an answer that comes later would be taken for that to another question */
        if (rc == -ETIMEDOUT || rc == -EPROTONOSUPPORT)
            return rc;
        if (tries > 0)
            nap();
    }
    return -ENOTCONN;
}

/* Whoever waits has a thread of the pool, and a sandbox can make its own monitor slow. */
static bool may_wait(const struct sandbox *s, uint64_t now_ns)
{
    bool slow = now_ns > s->monitor.busy_since_ns +
                             SLOW_NS; /* the call may have begun after now_ns was read */
    return s->monitor.waiters < (slow ? WAITERS_SLOW : WAITERS_MAX);
}

/* The connection is for one call at a time. Waiting has an end, so that a monitor that hangs does not collect threads. */
static bool seize(struct sandbox *s)
{
    uint64_t now_ns = clock_mono_ns(), until_ns = now_ns + LOCK_LIMIT_NS;
    struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S),
                              .tv_nsec = (long)(until_ns % NS_PER_S) };
    int rc = 0;

    (void)pthread_mutex_lock(&s->monitor.lock);
    if (s->monitor.is_busy && !may_wait(s, now_ns))
        rc = ETIMEDOUT;
    s->monitor.waiters++;
    while (s->monitor.is_busy && rc == 0)
        rc = pthread_cond_timedwait(&s->monitor.idle, &s->monitor.lock, &until);
    s->monitor.waiters--;
    bool seized = !s->monitor.is_busy;
    if (seized) {
        s->monitor.is_busy = true;
        s->monitor.busy_since_ns = clock_mono_ns();
    }
    (void)pthread_mutex_unlock(&s->monitor.lock);
    return seized;
}

static void release(struct sandbox *s)
{
    (void)pthread_mutex_lock(&s->monitor.lock);
    s->monitor.is_busy = false;
    (void)pthread_cond_signal(&s->monitor.idle);
    (void)pthread_mutex_unlock(&s->monitor.lock);
}

static int call(struct sandbox *s, struct warden *w, struct monitor_msg *m, int *fd)
{
    if (!seize(s))
        return -ETIMEDOUT;
    int rc = call_seized(s, w, m, fd);
    release(s);
    return rc;
}

/* A call whose answer has no business to carry a descriptor. */
static int call_plain(struct sandbox *s, struct warden *w, struct monitor_msg *m)
{
    AUTO_CLOSE int fd = -1;
    return call(s, w, m, &fd);
}

void monitor_take(struct sandbox *s, int fd)
{
    if (set_limits(fd) < 0 ||
        !seize(
            s)) { /* there is no other call yet, but the next one opens a connection anyway */
        (void)close(fd);
        return;
    }
    drop(s);
    s->monitor.fd = fd;
    release(s);
}

void monitor_move(struct sandbox *to, struct sandbox *from)
{
    if (!seize(from))
        return; /* the next call opens a connection */
    int fd = from->monitor.fd;
    from->monitor.fd = -1;
    to->monitor.next_id = from->monitor.next_id;
    release(from);
    if (fd >= 0)
        monitor_take(to, fd);
}

/* A monitor that has been taken over could hand us anything that blocks or lies about what it is. */
static bool is_tcp(int fd)
{
    const struct linger none = { .l_onoff =
                                     0 }; /* or closing it could block for as long as it says */
    int domain, type;
    socklen_t n = sizeof domain, k = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &k) < 0)
        return false;
    return (domain == AF_INET || domain == AF_INET6) && type == SOCK_STREAM &&
           setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0 &&
           fcntl(fd, F_SETFL, O_NONBLOCK) == 0;
}

int monitor_connect_port(struct sandbox *s, struct warden *w, uint32_t port, int *fd)
{
    struct monitor_msg m = { .type = MONITOR_CONNECT, .port = port };
    AUTO_CLOSE int got = -1;
    int rc = call(s, w, &m, &got);

    if (rc < 0)
        return rc;
    if (got < 0 || !is_tcp(got))
        return -EPROTO;
    *fd = fd_steal(&got);
    return 0;
}

int monitor_netns(struct sandbox *s, struct warden *w, int *fd)
{
    struct monitor_msg m = { .type = MONITOR_NETNS };
    AUTO_CLOSE int got = -1;
    int rc = call(s, w, &m, &got);

    if (rc < 0)
        return rc;
    if (got < 0)
        return -EPROTO;
    *fd = fd_steal(&got); /* netd looks at what it is */
    return 0;
}

int monitor_stats(struct sandbox *s, struct warden *w, struct monitor_stats *out)
{
    struct monitor_msg m = { .type = MONITOR_STATS };
    int rc = call_plain(s, w, &m);

    if (rc == 0)
        *out = m.stats;
    return rc;
}

struct sample monitor_sample(const struct monitor_stats *stats)
{
    return (struct sample){ .real_ns = clock_real_ns(),
                            .boot_ns = clock_boot_ns(),
                            .cpu_usec = stats->cpu_usec,
                            .memory_bytes = stats->memory_bytes,
                            .memory_limit_bytes = stats->memory_limit_bytes,
                            .disk_bytes = stats->disk_used_bytes,
                            .disk_limit_bytes = stats->disk_limit_bytes };
}

int monitor_set_deadline(struct sandbox *s, struct warden *w, uint64_t boot_ns)
{
    struct monitor_msg m = { .type = MONITOR_SET_DEADLINE, .deadline_ns = boot_ns };
    return call_plain(s, w, &m);
}

int monitor_kill(struct sandbox *s, struct warden *w)
{
    struct monitor_msg m = { .type = MONITOR_KILL };
    return call_plain(s, w, &m);
}
