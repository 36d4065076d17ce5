/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/reconcile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "e2b-sandbox/audit.h"
#include "e2b-sandbox/lifecycle.h"
#include "e2b-sandbox/monitor.h"
#include "e2b-sandbox/network.h"
#include "e2b-sandbox/pool.h"

#define PERIOD_NS     (5 * NS_PER_S)
#define LIST_LIMIT_NS (5 * NS_PER_S)
#define KILL_LIMIT_NS (20 * NS_PER_S)
#define PRUNE_ROUNDS  12u

struct reconciler {
    struct app *a;
    pthread_t thread;
    pthread_mutex_t lock; /* around these: */
    pthread_cond_t changed;
    bool stop, soon, compared;

    /* The thread's own. */
    unsigned round;
    struct warden_msg row[WARDEN_MAX_SANDBOXES];
    struct sandbox *all[WARDEN_MAX_SANDBOXES];
};

/* --- at the start --- */

static void adopt_row(const struct registry_row *row, void *arg)
{
    struct app *a = arg;
    AUTO_SANDBOX struct sandbox *s = sandbox_new(&row->facts, row->metadata);

    if (s)
        network_adopt(a, s, row);
    if (!s || !fleet_adopt(a->fleet, s, row->started_ns, row->end_ns))
        log_error("sandbox_not_adopted", "sandbox=%s", row->facts.id.text);
    else {
        log_info("sandbox_adopted", "sandbox=%s", row->facts.id.text);
        audit_event(a, AUDIT_SANDBOX_ADOPTED, row->facts.id.text, NULL, NULL);
    }
}

int reconcile_load(struct app *a, struct err *e)
{
    int n = registry_end_unfinished(a->registry, clock_real_ns(), e);

    if (n < 0)
        return n;
    if (n > 0)
        log_warn("sandbox_unfinished", "n=%d",
                 n); /* if the warden has started any of them, it is an orphan now */
    return registry_each_running(a->registry, adopt_row, a, e);
}

/* --- comparing --- */

static int by_id(const void *a, const void *b)
{
    const struct warden_msg *x = a, *y = b;
    return memcmp(&x->id, &y->id, sizeof x->id);
}

static struct warden_msg *find_row(struct reconciler *r, size_t n, const struct sandbox_id *id)
{
    const struct warden_msg key = { .id = *id };
    return n > 0 ? bsearch(&key, r->row, n, sizeof key, by_id) : NULL;
}

/* What started after the list was asked for need not be on it. What is being stopped is its killer's business. */
static void check_ours(struct reconciler *r, size_t n, uint64_t asked_ns)
{
    size_t n_all = fleet_all(r->a->fleet, r->all);

    for (size_t i = 0; i < n_all; i++) {
        struct sandbox *s = r->all[i];
        struct sandbox_now now = sandbox_look(s);
        struct warden_msg *row = find_row(r, n, &s->facts.id);
        if (row) {
            sandbox_set_host(s, row);
            row->type = 0; /* ours */
        } else if (now.state == SANDBOX_RUNNING && now.running_since_ns < asked_ns) {
            log_warn("sandbox_lost", "sandbox=%s", s->facts.id.text);
            lifecycle_ended(r->a, s, CAUSE_MONITOR_LOST);
        }
        sandbox_put(s);
    }
}

/* What the warden runs and we do not know is of a create that failed half-way: nobody can use it, so it ends. */
static void check_theirs(struct reconciler *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* In this order: what leaves the pool is in the fleet before. */
        if (r->row[i].type == 0 || pool_knows(atomic_load(&r->a->pool), &r->row[i].id))
            continue;
        AUTO_SANDBOX struct sandbox *s = fleet_find_any(r->a->fleet, &r->row[i].id);
        if (s)
            continue;
        struct warden_msg m = { .type = WARDEN_KILL, .id = r->row[i].id };
        if (warden_call(r->a->warden, &m, NULL, KILL_LIMIT_NS) < 0 || m.status < 0)
            continue; /* gone by itself meanwhile, or the next round tries again */
        (void)atomic_fetch_add(&r->a->metrics.orphans_killed, 1);
        audit_event(r->a, AUDIT_SANDBOX_TERMINATED, r->row[i].id.text, NULL, "orphan");
        log_warn("sandbox_orphan_killed", "sandbox=%s", r->row[i].id.text);
    }
}

static bool compare(struct reconciler *r)
{
    uint64_t asked_ns = clock_mono_ns(), asked_boot_ns = clock_boot_ns();
    size_t n;
    int rc = warden_list(r->a->warden, r->row, &n, LIST_LIMIT_NS);

    if (rc < 0) {
        if (rc != -ENOTCONN) /* the warden's client tells of that */
            log_warn("reconcile_failed", "err=%d", -rc);
        return false;
    }
    qsort(r->row, n, sizeof r->row[0], by_id);
    check_ours(r, n, asked_ns);
    check_theirs(r, n);
    pool_compare(atomic_load(&r->a->pool), r->row, n, asked_boot_ns);
    return true;
}

/* --- the rest of a round --- */

static void sample_all(struct reconciler *r)
{
    size_t n = fleet_all(r->a->fleet, r->all);

    for (size_t i = 0; i < n; i++) {
        struct sandbox *s = r->all[i];
        struct monitor_stats stats;
        if (sandbox_look(s).state == SANDBOX_RUNNING &&
            monitor_stats(s, r->a->warden, &stats) == 0) {
            const struct sample one = monitor_sample(&stats);
            sandbox_add_sample(s, &one);
            sandbox_add_counts(s, stats.oom_kills, stats.tripwires);
        }
        sandbox_put(s);
    }
}

static void prune(struct reconciler *r)
{
    struct err e;

    if (r->round++ % PRUNE_ROUNDS == 0 &&
        registry_prune(r->a->registry, clock_real_ns(), &e) < 0)
        log_error("registry_failed", "err=\"%s\"", e.text);
}

/* Sleeps until the next round. False if there is none. */
static bool wait_round(struct reconciler *r, uint64_t until_ns, bool *early)
{
    struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S),
                              .tv_nsec = (long)(until_ns % NS_PER_S) };
    int rc = 0;

    (void)pthread_mutex_lock(&r->lock);
    while (!r->stop && !r->soon && rc == 0)
        rc = pthread_cond_timedwait(&r->changed, &r->lock, &until);
    *early = r->soon;
    r->soon = false;
    bool go = !r->stop;
    (void)pthread_mutex_unlock(&r->lock);
    return go;
}

static void note_compared(struct reconciler *r)
{
    (void)pthread_mutex_lock(&r->lock);
    r->compared = true;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
}

static void *reconcile_main(void *arg)
{
    struct reconciler *r = arg;
    uint64_t next_ns = clock_mono_ns();
    bool early;

    while (wait_round(r, next_ns, &early)) {
        if (compare(r))
            note_compared(r);
        if (early)
            continue;
        sample_all(r);
        prune(r);
        next_ns = clock_mono_ns() + PERIOD_NS;
    }
    return NULL;
}

int reconcile_start(struct reconciler **out, struct app *a, struct err *e)
{
    AUTO_FREE struct reconciler *r = calloc(1, sizeof *r);
    pthread_condattr_t monotonic;

    if (!r)
        return err_set(e, ENOMEM, "start the reconciler");
    r->a = a;
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    int rc = pthread_create(&r->thread, NULL, reconcile_main, r);
    if (rc != 0)
        return err_set(e, rc, "start the reconciler");
    *out = ptr_steal(&r);
    return 0;
}

void reconcile_stop(struct reconciler *r)
{
    if (!r)
        return;
    (void)pthread_mutex_lock(&r->lock);
    r->stop = true;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
    (void)pthread_join(r->thread, NULL);
    (void)pthread_cond_destroy(&r->changed);
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

void reconcile_soon(struct reconciler *r)
{
    if (!r)
        return;
    (void)pthread_mutex_lock(&r->lock);
    r->soon = true;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
}

bool reconcile_wait_first(struct reconciler *r, uint64_t timeout_ns)
{
    uint64_t until_ns = clock_mono_ns() + timeout_ns;
    struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S),
                              .tv_nsec = (long)(until_ns % NS_PER_S) };
    int rc = 0;

    (void)pthread_mutex_lock(&r->lock);
    while (!r->compared && rc == 0)
        rc = pthread_cond_timedwait(&r->changed, &r->lock, &until);
    bool compared = r->compared;
    (void)pthread_mutex_unlock(&r->lock);
    return compared;
}
