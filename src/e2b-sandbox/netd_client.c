/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/netd_client.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/ipc.h"

#define ANSWER_LIMIT_S 5
#define PAUSE_MS       200

struct netd_client {
    pthread_t thread;
    struct sockaddr_un address;
    struct netd_events events;

    pthread_mutex_t call_lock; /* around one request and its answer */
    pthread_mutex_t lock;      /* around these: */
    pthread_cond_t changed;
    int fd; /* -1: not connected */
    bool is_told, stop;

    uint64_t next_id; /* call_lock */
};

/* --- one connection --- */

static int exchange(int fd, struct netd_msg *m, int with, const struct netd_more *more)
{
    struct netd_msg answer = { 0 };
    int rc = ipc_send(fd, m, sizeof *m, &with, with >= 0 ? 1 : 0);

    for (uint32_t i = 0; rc == 0 && i < m->n_rules; i++)
        rc = ipc_send(fd, &more->rule[i], sizeof more->rule[i], NULL, 0);
    for (uint32_t i = 0; rc == 0 && i < m->n_transforms; i++)
        rc = ipc_send(fd, &more->transform[i], sizeof more->transform[i], NULL, 0);
    for (uint32_t i = 0; rc == 0 && i < m->n_pairs; i++)
        rc = ipc_send(fd, &more->pair[i], sizeof more->pair[i], NULL, 0);
    if (rc == 0)
        rc = ipc_recv(fd, &answer, sizeof answer, NULL, 0, NULL);
    if (rc < 0)
        return rc == -EAGAIN ? -ETIMEDOUT : -ENOTCONN;
    if (answer.request_id != m->request_id || answer.type != m->type ||
        answer.version != NETD_VERSION)
        return -ENOTCONN;
    *m = answer;
    if (answer.type != NETD_TRAFFIC || answer.status != 0)
        return 0;
    rc = ipc_recv(fd, more->traffic, sizeof *more->traffic, NULL, 0, NULL);
    if (rc < 0)
        return rc == -EAGAIN ? -ETIMEDOUT : -ENOTCONN;
    return more->traffic->n <= NETD_TRAFFIC_MAX ? 0 : -ENOTCONN;
}

/* Whoever else could listen there might promise walls that do not stand: the socket is in a directory of root's. */
static int connect_once(const struct netd_client *n)
{
    const struct timeval limit = { .tv_sec = ANSWER_LIMIT_S };
    struct netd_msg hello = { .type = NETD_HELLO, .version = NETD_VERSION };
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) < 0 ||
        connect(fd, (const struct sockaddr *)&n->address, sizeof n->address) < 0)
        return -errno;
    int rc = exchange(fd, &hello, -1, NULL);
    return rc < 0 ? rc : fd_steal(&fd);
}

int netd_call(struct netd_client *n, struct netd_msg *m, int fd, const struct netd_more *more)
{
    (void)pthread_mutex_lock(&n->call_lock);
    (void)pthread_mutex_lock(&n->lock);
    int to = n->fd; /* is closed under call_lock only */
    (void)pthread_mutex_unlock(&n->lock);
    m->version = NETD_VERSION;
    m->request_id = ++n->next_id;
    int rc = to < 0 ? -ENOTCONN : exchange(to, m, fd, more);
    if (rc < 0 && to >= 0)
        (void)shutdown(to,
                       SHUT_RDWR); /* an answer that comes later would be taken for another's */
    (void)pthread_mutex_unlock(&n->call_lock);
    return rc < 0 ? rc : m->status;
}

/* --- the thread --- */

static bool is_stopping(struct netd_client *n)
{
    (void)pthread_mutex_lock(&n->lock);
    bool stop = n->stop;
    (void)pthread_mutex_unlock(&n->lock);
    return stop;
}

static void set(struct netd_client *n, int fd, bool is_told)
{
    (void)pthread_mutex_lock(&n->lock);
    n->fd = fd;
    n->is_told = is_told;
    (void)pthread_cond_broadcast(&n->changed);
    (void)pthread_mutex_unlock(&n->lock);
}

/* Until the connection ends. */
static void keep(struct netd_client *n, int fd)
{
    bool told = false;

    set(n, fd, false);
    log_info("netd_connected", "path=%s", n->address.sun_path);
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLRDHUP };
        if (!told) {
            told = n->events.tell_all(n->events.arg);
            set(n, fd, told);
        }
        if (poll(&p, 1, told ? -1 : PAUSE_MS) > 0 || is_stopping(n))
            break;
    }
    (void)pthread_mutex_lock(&n->call_lock);
    set(n, -1, false);
    (void)close(fd);
    (void)pthread_mutex_unlock(&n->call_lock);
}

static void *client_main(void *arg)
{
    struct netd_client *n = arg;
    const struct timespec pause = { .tv_nsec = PAUSE_MS * 1000000L };
    int last_error = 0;

    while (!is_stopping(n)) {
        int fd = connect_once(n);
        if (fd >= 0) {
            keep(n, fd);
            if (!is_stopping(n))
                log_warn("netd_lost", "path=%s", n->address.sun_path);
            last_error = 0;
            continue;
        }
        if (fd != last_error) /* once per reason, not per try */
            log_warn("netd_unreachable", "path=%s err=\"%s\"", n->address.sun_path,
                     strerrordesc_np(-fd));
        last_error = fd;
        (void)nanosleep(&pause, NULL);
    }
    return NULL;
}

int netd_start(struct netd_client **out, const char *path, const struct netd_events *events,
               struct err *e)
{
    AUTO_FREE struct netd_client *n = calloc(1, sizeof *n);
    pthread_condattr_t monotonic;

    if (!n)
        return err_set(e, ENOMEM, "start netd's client");
    n->fd = -1;
    n->events = *events;
    n->address.sun_family = AF_UNIX;
    if (str_copy(str_from(path), n->address.sun_path, sizeof n->address.sun_path) < 0)
        return err_say(e, ENAMETOOLONG, "'%s' is too long for a socket's name", path);
    (void)pthread_mutex_init(&n->call_lock, NULL);
    (void)pthread_mutex_init(&n->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&n->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    *out = n; /* its thread may be faster than we */
    int rc = pthread_create(&n->thread, NULL, client_main, n);
    if (rc != 0) {
        *out = NULL;
        return err_set(e, rc, "start netd's client");
    }
    (void)ptr_steal(&n);
    return 0;
}

void netd_stop(struct netd_client *n)
{
    if (!n)
        return;
    (void)pthread_mutex_lock(&n->lock);
    n->stop = true;
    if (n->fd >= 0)
        (void)shutdown(n->fd, SHUT_RDWR);
    (void)pthread_mutex_unlock(&n->lock);
    (void)pthread_join(n->thread, NULL);
    (void)pthread_cond_destroy(&n->changed);
    (void)pthread_mutex_destroy(&n->lock);
    (void)pthread_mutex_destroy(&n->call_lock);
    free(n);
}

bool netd_wait_told(struct netd_client *n, uint64_t timeout_ns)
{
    uint64_t until_ns = clock_mono_ns() + timeout_ns;
    const struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S),
                                    .tv_nsec = (long)(until_ns % NS_PER_S) };
    int rc = 0;

    (void)pthread_mutex_lock(&n->lock);
    while (!n->is_told && rc == 0)
        rc = pthread_cond_timedwait(&n->changed, &n->lock, &until);
    bool told = n->is_told;
    (void)pthread_mutex_unlock(&n->lock);
    return told;
}
