/* SPDX-License-Identifier: Apache-2.0 */
#include "http/server.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "http/server_priv.h"

void http_config_default(struct http_config *cfg)
{
    *cfg = (struct http_config){
        .max_threads = 256,
        .max_conns = 4096,
        .head_timeout_ns = 10 * NS_PER_S,
        .idle_timeout_ns = 600 * NS_PER_S,
        .io_timeout_ns = 60 * NS_PER_S,
        .half_closed_ns = 5 * NS_PER_S,
        .thread_idle_ns = 5 * NS_PER_S,
        .max_body = 1048576,
    };
}

void server_wake(struct http_server *s)
{
    const uint64_t one = 1;

    if (s->wake_pending)
        return;
    s->wake_pending = true;
    (void)!write(s->wake_fd, &one, sizeof one); /* cannot fail: the counter is far from full */
}

/* Accepted sockets inherit these from the listening one. */
static void set_options(int fd)
{
    const int on = 1, idle_s = 60, interval_s = 15, probes = 4;

    /* Each fails on a Unix socket, which needs none. A peer that vanished without a word ends a
     * silent relay or stream in two minutes instead of never. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

static int check_config(const struct http_config *cfg, struct err *e)
{
    if (!cfg->handler || cfg->max_threads == 0 || cfg->max_conns == 0)
        return err_say(e, EINVAL, "http: a server needs a handler, threads and connections");
    if (cfg->reserved_threads >= cfg->max_threads)
        return err_say(e, EINVAL, "http: %u reserved of %u threads leave none",
                       cfg->reserved_threads, cfg->max_threads);
    return 0;
}

static int init_sync(struct http_server *s)
{
    pthread_condattr_t attr;
    int r = pthread_condattr_init(&attr);

    if (r != 0)
        return -r;
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    r = pthread_mutex_init(&s->lock, NULL);
    if (r == 0)
        r = pthread_cond_init(&s->work, &attr);
    if (r == 0)
        r = pthread_cond_init(&s->quiet, &attr);
    (void)pthread_condattr_destroy(&attr);
    return -r; /* on Linux these hold nothing that would have to be released on a failure */
}

static void free_server(struct http_server *s)
{
    if (s->epoll_fd >= 0)
        (void)close(s->epoll_fd);
    if (s->wake_fd >= 0)
        (void)close(s->wake_fd);
    if (s->spare_fd >= 0)
        (void)close(s->spare_fd);
    free(s);
}

static int open_fds(struct http_server *s, int listen_fd, struct err *e)
{
    struct epoll_event listen_ev = { .events = EPOLLIN, .data.ptr = &s->listen_watch };
    struct epoll_event wake_ev = { .events = EPOLLIN, .data.ptr = &s->wake_watch };
    int flags = fcntl(listen_fd, F_GETFL);

    if (flags < 0 || fcntl(listen_fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return err_set(e, errno, "http: listening socket");
    set_options(listen_fd);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->epoll_fd < 0 || s->wake_fd < 0)
        return err_set(e, errno, "http: epoll");
    if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, listen_fd, &listen_ev) != 0 ||
        epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &wake_ev) != 0)
        return err_set(e, errno, "http: epoll_ctl");
    return 0;
}

int http_server_start(struct http_server **out, const struct http_config *cfg, int listen_fd,
                      struct err *e)
{
    sigset_t all, old;
    int r = check_config(cfg, e);

    if (r != 0)
        return r;
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ENOMEM, "http: server");
    s->cfg = *cfg;
    s->listen_fd = s->epoll_fd = s->wake_fd = s->spare_fd = -1;
    s->listen_watch = (struct watch){ WATCH_LISTEN, NULL };
    s->wake_watch = (struct watch){ WATCH_WAKE, NULL };
    s->jobs_end = &s->jobs;
    s->returned_end = &s->returned;
    s->batch_end = &s->batch;
    s->next_sweep_ns = NEVER;
    r = init_sync(s);
    if (r != 0)
        (void)err_set(e, -r, "http: locks");
    if (r == 0)
        r = open_fds(s, listen_fd, e);
    if (r == 0) {
        s->listen_fd = listen_fd;
        (void)sigfillset(&all); /* signals are the main thread's */
        (void)pthread_sigmask(SIG_BLOCK, &all, &old);
        r = -pthread_create(&s->reactor, NULL, reactor_main, s);
        (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
        if (r != 0)
            (void)err_set(e, -r, "http: reactor thread");
    }
    if (r != 0) {
        free_server(s);
        return r;
    }
    *out = s;
    return 0;
}

static struct timespec to_timespec(uint64_t ns)
{
    return (struct timespec){ (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };
}

/* Waits until no handler runs, and for a shorter while also until no relay does. */
static void wait_quiet(struct http_server *s, uint64_t grace_ns)
{
    uint64_t now = clock_mono_ns();
    uint64_t until = grace_ns > NEVER / 2 ? NEVER / 2 : now + grace_ns;
    struct timespec all = to_timespec(until);
    struct timespec some = to_timespec(grace_ns < RELAY_STOP_NS ? until : now + RELAY_STOP_NS);

    while (atomic_load(&s->busy) > 0)
        if (pthread_cond_timedwait(&s->quiet, &s->lock, &all) != 0)
            return;
    while (atomic_load(&s->n_relays) > 0)
        if (pthread_cond_timedwait(&s->quiet, &s->lock, &some) != 0)
            return;
}

void http_server_stop(struct http_server *s, uint64_t grace_ns)
{
    if (!s)
        return;
    (void)pthread_mutex_lock(&s->lock);
    atomic_store(&s->stopping, 1);
    server_wake(s);
    wait_quiet(s, grace_ns);
    atomic_store(&s->stopping, 2);
    server_wake(s);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_join(s->reactor, NULL);

    (void)pthread_mutex_lock(&s->lock);
    s->threads_end = true;
    (void)pthread_cond_broadcast(&s->work);
    while (s->threads > 0)
        (void)pthread_cond_wait(&s->quiet, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_cond_destroy(&s->work);
    (void)pthread_cond_destroy(&s->quiet);
    (void)pthread_mutex_destroy(&s->lock);
    free_server(s);
}

void http_server_end_relays(struct http_server *s)
{
    (void)pthread_mutex_lock(&s->lock);
    uint64_t mine = ++s->looks_wanted;
    server_wake(s);
    while (s->looks_done < mine)
        (void)pthread_cond_wait(&s->quiet, &s->lock);
    (void)pthread_mutex_unlock(&s->lock);
}

void http_server_get_stats(struct http_server *s, struct http_server_stats *out)
{
    (void)pthread_mutex_lock(&s->lock);
    unsigned threads = s->threads;
    (void)pthread_mutex_unlock(&s->lock);
    *out = (struct http_server_stats){
        .conns = atomic_load(&s->n_conns),
        .busy_threads = atomic_load(&s->busy),
        .threads = threads,
        .relays = atomic_load(&s->n_relays),
        .accepted = atomic_load(&s->accepted),
        .requests = atomic_load(&s->requests),
        .refused_heads = atomic_load(&s->refused_heads),
        .refused_busy = atomic_load(&s->refused_busy),
    };
}
