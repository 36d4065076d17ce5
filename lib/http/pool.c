/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "http/server_priv.h"

/* With the lock: a job that a handler left is either parked for the next request right here,
 * which is the way of nearly all and costs one epoll_ctl and no wake-up of the reactor, or goes
 * back to the reactor. */
static void give_back(struct http_conn *c)
{
    struct http_server *s = c->s;

    if (c->after == AFTER_NEXT && !c->in.p && !c->ahead.n && !atomic_load(&s->stopping)) {
        c->deadline_ns = clock_mono_ns() + s->cfg.idle_timeout_ns;
        if (conn_arm(c, CONN_IDLE) == 0)
            return; /* from here on it is the reactor's: not a look at c any more */
        c->state = CONN_BUSY;
        c->after = AFTER_CLOSE;
    }
    c->link = NULL;
    *s->returned_end = c;
    s->returned_end = &c->link;
    server_wake(s);
}

static void *thread_main(void *server);

/* With the lock. Brings one more thread to the queue, at most one at a time: it takes a job
 * and, if jobs are left, calls this again. So short handlers are run by the few threads that
 * are awake anyway, and yet a blocking one never holds up the job behind it. */
static void wake_one(struct http_server *s)
{
    if (s->is_waking)
        return;
    if (s->idle_threads > 0) {
        s->is_waking = true;
        (void)pthread_cond_signal(&s->work);
        return;
    }
    if (s->threads >= s->cfg.max_threads)
        return; /* never with more jobs than threads: busy is capped at max_threads */

    pthread_attr_t attr;
    pthread_t t;
    sigset_t all, old;
    if (pthread_attr_init(&attr) != 0)
        return;
    (void)sigfillset(&all);
    if (pthread_attr_setstacksize(&attr, THREAD_STACK) == 0 &&
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0) {
        /* Signals are the main thread's; and sendfile to a peer that is gone must fail with
         * EPIPE, not kill us. */
        (void)pthread_sigmask(SIG_BLOCK, &all, &old);
        if (pthread_create(&t, &attr, thread_main, s) == 0) {
            s->threads++;
            s->is_waking = true;
        }
        (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    (void)pthread_attr_destroy(&attr);
}

/* With the lock: waits for a job, but no longer than thread_idle_ns. NULL: this thread is to
 * end. */
static struct http_conn *take_job(struct http_server *s)
{
    uint64_t until = clock_mono_ns() + s->cfg.thread_idle_ns;
    struct timespec ts = { (time_t)(until / NS_PER_S), (long)(until % NS_PER_S) };
    int r = 0;

    while (!s->jobs) {
        if (s->threads_end || r == ETIMEDOUT)
            return NULL;
        s->idle_threads++;
        r = pthread_cond_timedwait(&s->work, &s->lock, &ts);
        s->idle_threads--;
        /* It is me who was woken, or whoever was sees the jobs all the same. */
        s->is_waking = false;
    }
    struct http_conn *c = s->jobs;
    s->jobs = c->link;
    if (!s->jobs)
        s->jobs_end = &s->jobs;
    else
        wake_one(s);
    return c;
}

static void *thread_main(void *server)
{
    struct http_server *s = server;
    struct http_conn *c;

    (void)pthread_mutex_lock(&s->lock);
    s->is_waking = false;
    while ((c = take_job(s)) != NULL) {
        (void)pthread_mutex_unlock(&s->lock);
        handler_run(c);
        (void)pthread_mutex_lock(&s->lock);
        atomic_fetch_sub(&s->busy,
                         1); /* first: the peer's next request must find the slot free */
        give_back(c);
        if (atomic_load(&s->stopping))
            (void)pthread_cond_broadcast(&s->quiet);
    }
    s->threads--;
    if (s->threads_end)
        (void)pthread_cond_broadcast(&s->quiet);
    (void)pthread_mutex_unlock(&s->lock);
    return NULL;
}

bool pool_push(struct http_server *s, struct http_conn *first)
{
    (void)pthread_mutex_lock(&s->lock);
    *s->jobs_end = first;
    while (*s->jobs_end)
        s->jobs_end = &(*s->jobs_end)->link;
    wake_one(s);
    bool ok = s->threads > 0;
    (void)pthread_mutex_unlock(&s->lock);
    return ok;
}

bool pool_retry(struct http_server *s)
{
    (void)pthread_mutex_lock(&s->lock);
    if (s->jobs && s->threads == 0)
        wake_one(s);
    bool ok = !s->jobs || s->threads > 0;
    (void)pthread_mutex_unlock(&s->lock);
    return ok;
}
