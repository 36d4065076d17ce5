/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/pool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "codec/json.h"
#include "e2b-sandbox/lifecycle.h"
#include "e2b-sandbox/monitor.h"
#include "e2b-sandbox/pool_policy.h"
#include "http/client.h"

#define THREADS        2u
#define CLASSES_MAX    8u /* templates (with their limits) for which entries are held */
#define SPAWN_LIMIT_NS (20 * NS_PER_S)
#define KILL_LIMIT_NS  (20 * NS_PER_S)
#define DRAIN_LIMIT_NS (2 * NS_PER_S)
#define AGENT_LIMIT_NS (5 * NS_PER_S)
#define ROOM_LIMIT_NS  (15 * NS_PER_S)
#define TICK_NS        NS_PER_S /* how often demand is looked at while there is any */
#define WARM_BODY_MAX  (1u << 20)
/* PSS and the kernel's share, rounded up: tests/bench measures them. */
#define BYTES_PER_ENTRY      (UINT64_C(2) << 20)
#define BYTES_PER_WARM_ENTRY (UINT64_C(6) << 20)

enum entry_state {
    ENTRY_FREE,
    ENTRY_MAKING, /* a thread of the pool starts it */
    ENTRY_READY,
    ENTRY_TAKEN, /* a request has it, the fleet does not know it yet */
    ENTRY_ENDING /* the warden is being told to end it */
};

struct entry {
    enum entry_state state;
    unsigned class;
    uint64_t born_ns;
    struct pool_taken has; /* valid while READY; `id` always */
    bool exited;           /* while MAKING */
    bool warm;             /* its envd was told to have an interpreter wait */
};

struct class
{
    bool used;
    struct pool_key key;
    struct pool_demand demand;
    uint64_t last_take_ns, not_before_ns;
    unsigned failures; /* in a row */
    unsigned share;    /* as of the last look */
    char *warm;        /* owned: the body of /warm, NULL if nothing is to wait */
};

struct pool {
    struct app *a;
    unsigned limit; /* entries at once */
    pthread_t thread[THREADS];
    unsigned n_threads;

    pthread_mutex_t
        lock; /* around everything below; a leaf: nothing else is locked inside, nothing is called that waits */
    pthread_cond_t changed;
    bool stop;
    unsigned waiting; /* requests that start a sandbox without us */
    uint64_t hits, misses;
    struct class class[CLASSES_MAX];
    struct entry entry[POOL_ENTRIES_MAX];
};

static void lock(struct pool *p)
{
    (void)pthread_mutex_lock(&p->lock);
}

static void unlock(struct pool *p)
{
    (void)pthread_mutex_unlock(&p->lock);
}

static void tell_all(struct pool *p)
{
    (void)pthread_cond_broadcast(&p->changed);
}

/* The condition's clock is the monotonic one, our times are of the boot clock. */
static void wait_until(struct pool *p, uint64_t boot_ns)
{
    uint64_t now_ns = clock_boot_ns();
    uint64_t ns = clock_mono_ns() + (boot_ns > now_ns ? boot_ns - now_ns : 0);
    struct timespec until = { .tv_sec = (time_t)(ns / NS_PER_S),
                              .tv_nsec = (long)(ns % NS_PER_S) };

    if (boot_ns == UINT64_MAX)
        (void)pthread_cond_wait(&p->changed, &p->lock);
    else
        (void)pthread_cond_timedwait(&p->changed, &p->lock,
                                     &until); /* either way: look again */
}

/* --- entries; the lock is held --- */

static unsigned count(const struct pool *p, enum entry_state state, int class)
{
    unsigned n = 0;

    for (unsigned i = 0; i < p->limit; i++)
        n += p->entry[i].state == state && (class < 0 || p->entry[i].class == (unsigned)class);
    return n;
}

static unsigned count_all(const struct pool *p)
{
    return p->limit - count(p, ENTRY_FREE, -1);
}

static struct entry *find(struct pool *p, const struct sandbox_id *id)
{
    for (unsigned i = 0; i < p->limit; i++)
        if (p->entry[i].state != ENTRY_FREE && memcmp(&p->entry[i].has.id, id, sizeof *id) == 0)
            return &p->entry[i];
    return NULL;
}

/* The youngest, or the oldest, of a class that is ready. */
static struct entry *pick(struct pool *p, unsigned class, bool oldest)
{
    struct entry *best = NULL;

    for (unsigned i = 0; i < p->limit; i++) {
        struct entry *e = &p->entry[i];
        if (e->state != ENTRY_READY || e->class != class)
            continue;
        if (!best || (oldest ? e->born_ns < best->born_ns : e->born_ns > best->born_ns))
            best = e;
    }
    return best;
}

/* What it held comes out, for somebody to free without the lock. */
static struct pool_taken free_entry(struct pool *p, struct entry *e)
{
    struct pool_taken has = e->has;

    *e = (struct entry){ .has.agent_fd = -1 };
    tell_all(p);
    return has;
}

static int find_class(const struct pool *p, const struct pool_key *k)
{
    for (unsigned i = 0; i < CLASSES_MAX; i++)
        if (p->class[i].used && memcmp(&p->class[i].key, k, sizeof *k) == 0)
            return (int)i;
    return -1;
}

/* A place for a new one: unused, or the one that was asked for longest ago and has no entry. */
static int add_class(struct pool *p, const struct pool_key *k)
{
    int best = -1;

    for (unsigned i = 0; i < CLASSES_MAX; i++) {
        bool has_entries = false;
        for (unsigned n = 0; n < p->limit; n++)
            has_entries |= p->entry[n].state != ENTRY_FREE && p->entry[n].class == i;
        if (has_entries)
            continue;
        if (!p->class[i].used) {
            best = (int)i;
            break;
        }
        if (best < 0 || p->class[i].demand.at_ns < p->class[best].demand.at_ns)
            best = (int)i;
    }
    if (best >= 0) {
        free(p->class[best].warm);
        p->class[best] = (struct class){ .used = true, .key = *k };
    }
    return best;
}

void pool_taken_fini(struct pool_taken *t)
{
    sandbox_put(t->monitor);
    if (t->agent_fd >= 0)
        (void)close(t->agent_fd);
    *t = (struct pool_taken){ .agent_fd = -1 };
}

/* --- what requests call --- */

/* What the template says about its programs: nothing of a tenant. */
static char *write_warm(const struct template *t)
{
    AUTO_BUF struct buf b = BUF_INIT(WARM_BODY_MAX);

    buf_add_cstr(&b, "{\"interpreter\":\"python3\",\"defaultUser\":");
    json_write_str(&b, str_from(t->user));
    buf_add_cstr(&b, ",\"envVars\":");
    if (!json_write(&b, t->env))
        return NULL;
    buf_add_char(&b, '}');
    return buf_ok(&b) ? strdup(buf_cstr(&b)) : NULL;
}

bool pool_take(struct pool *p, const struct pool_key *k, const struct template *t,
               struct pool_taken *out)
{
    uint64_t now_ns = clock_boot_ns();
    bool took = false;

    if (!p)
        return false;
    lock(p);
    int c = find_class(p, k);
    if (c < 0) {
        c = add_class(p, k);
        if (c >= 0 && p->a->config.warm_python)
            p->class[c].warm = write_warm(t);
    }
    /* The oldest first: so all are used before they have to be replaced. */
    struct entry *e = c < 0 ? NULL : pick(p, (unsigned)c, true);
    if (c >= 0) {
        pool_demand_note(&p->class[c].demand, now_ns);
        p->class[c].last_take_ns = now_ns;
    }
    if (e && !pool_is_old(e->born_ns, now_ns)) {
        e->state = ENTRY_TAKEN;
        *out = e->has;
        e->has.monitor = NULL; /* the taker's now */
        e->has.agent_fd = -1;
        took = true;
    }
    *(took ? &p->hits : &p->misses) += 1;
    tell_all(p);
    unlock(p);
    return took;
}

void pool_forget(struct pool *p, const struct pool_taken *t)
{
    lock(p);
    struct entry *e = find(p, &t->id);
    if (e)
        (void)free_entry(p, e); /* its descriptors are the taker's */
    unlock(p);
}

void pool_put_back(struct pool *p, struct pool_taken *t)
{
    lock(p);
    struct entry *e = find(p, &t->id);
    if (e) {
        e->has = *t;
        e->state = ENTRY_READY;
        *t = (struct pool_taken){ .agent_fd = -1 };
    }
    tell_all(p);
    unlock(p);
    pool_taken_fini(t);
}

void pool_begin_start(struct pool *p)
{
    if (!p)
        return;
    lock(p);
    p->waiting++;
    unlock(p);
}

void pool_end_start(struct pool *p)
{
    if (!p)
        return;
    lock(p);
    p->waiting--;
    tell_all(p);
    unlock(p);
}

bool pool_knows(struct pool *p, const struct sandbox_id *id)
{
    if (!p)
        return false;
    lock(p);
    bool knows = find(p, id) != NULL;
    unlock(p);
    return knows;
}

void pool_exited(struct pool *p, const struct sandbox_id *id)
{
    struct pool_taken had = { .agent_fd = -1 };

    if (!p)
        return;
    lock(p);
    struct entry *e = find(p, id);
    if (e && e->state == ENTRY_READY)
        had = free_entry(p, e);
    else if (e)
        e->exited = true; /* who makes, has or ends it finds out */
    unlock(p);
    pool_taken_fini(&had);
}

static bool is_listed(const struct warden_msg *rows, size_t n, const struct sandbox_id *id)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&rows[i].id, id, sizeof *id) == 0)
            return true;
    return false;
}

void pool_compare(struct pool *p, const struct warden_msg *rows, size_t n, uint64_t asked_ns)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->limit; i++) {
        struct pool_taken had = { .agent_fd = -1 };
        lock(p);
        struct entry *e = &p->entry[i];
        if (e->state == ENTRY_READY && e->born_ns < asked_ns && !is_listed(rows, n, &e->has.id))
            had = free_entry(p, e);
        unlock(p);
        pool_taken_fini(&had);
    }
}

struct pool_numbers pool_numbers(struct pool *p)
{
    struct pool_numbers n = { 0 };

    if (!p)
        return n;
    lock(p);
    n = (struct pool_numbers){ count(p, ENTRY_READY, -1), count(p, ENTRY_MAKING, -1), p->hits,
                               p->misses };
    unlock(p);
    return n;
}

/* --- ending --- */

/* Ends an entry that is ENDING, without the lock. What the warden cannot be told now ends by its deadline, or as an orphan. */
static int end_entry(struct pool *p, struct entry *e, uint64_t limit_ns)
{
    struct warden_msg m = { .type = WARDEN_KILL, .id = e->has.id };
    struct pool_taken had = e->has; /* nobody else changes an entry that is ENDING */

    e->has.monitor = NULL;
    e->has.agent_fd = -1;
    pool_taken_fini(&had);
    int rc = warden_call(p->a->warden, &m, NULL, limit_ns);
    lock(p);
    (void)free_entry(p, e);
    unlock(p);
    return rc;
}

/* The one that is missed least: of the class that was asked for longest ago, its oldest. */
static struct entry *pick_victim(struct pool *p)
{
    struct entry *victim = NULL;

    for (unsigned c = 0; c < CLASSES_MAX; c++) {
        struct entry *e = p->class[c].used ? pick(p, c, true) : NULL;
        if (e && (!victim || p->class[c].demand.at_ns < p->class[victim->class].demand.at_ns))
            victim = e;
    }
    return victim;
}

bool pool_make_room(struct pool *p)
{
    if (!p)
        return false;
    uint64_t until_ns = clock_boot_ns() + ROOM_LIMIT_NS;

    lock(p);
    struct entry *e = pick_victim(p);
    unsigned before = count_all(p);
    if (e) {
        e->state = ENTRY_ENDING;
        unlock(p);
        return end_entry(p, e, KILL_LIMIT_NS) == 0;
    }
    /* None is ready, but those that are being made or ended have places too: one of them will be ready, or gone. */
    while (count(p, ENTRY_MAKING, -1) + count(p, ENTRY_ENDING, -1) > 0 && !pick_victim(p) &&
           count_all(p) >= before && clock_boot_ns() < until_ns)
        wait_until(p, until_ns);
    bool again = count_all(p) < before || pick_victim(p);
    unlock(p);
    return again;
}

/* --- making --- */

/* Does envd answer? Then its start-up is over, and this connection can carry /init. With a body, the question is /warm. */
static int ask_agent(int *agent_fd, const char *warm, struct err *e)
{
    struct http_client c;

    http_client_init(&c, fd_steal(agent_fd), AGENT_LIMIT_NS);
    int rc =
        warm ? http_client_send(&c, "POST", "/warm", "localhost",
                                "Content-Type: application/json\r\n", str_from(warm), e)
             : http_client_send(&c, "GET", "/health", "localhost", "", (struct str){ 0 }, e);
    if (rc == 0)
        rc = http_client_head(&c, false, e);
    if (rc == 0 && (c.head.status != 204 || !http_client_reusable(&c)))
        rc = err_say(e, EPROTO, "envd answered %u", c.head.status);
    if (rc == 0)
        *agent_fd = fd_steal(&c.fd);
    http_client_fini(&c);
    return rc;
}

static int spawn(struct pool *p, const struct pool_key *k, struct pool_taken *t, struct err *e)
{
    struct sandbox_facts facts = { .id = t->id };
    AUTO_CLOSE int fd = -1;

    t->host = (struct warden_msg){ .type = WARDEN_SPAWN,
                                   .id = t->id,
                                   .image = k->image,
                                   .limits = k->limits,
                                   .policy = k->policy,
                                   .deadline_ns = clock_boot_ns() + POOL_LIFE_NS };
    int rc = warden_call(p->a->warden, &t->host, &fd, SPAWN_LIMIT_NS);
    if (rc < 0)
        return err_set(e, -rc, "ask the warden");
    if (t->host.status != 0 || fd < 0)
        return err_set(e, t->host.status < 0 ? -t->host.status : EPROTO, "%s",
                       t->host.step < STEP_MAX
                           ? sandbox_step_text((enum sandbox_step)t->host.step)
                           : "an unknown step");
    t->monitor = sandbox_new(&facts, "{}");
    if (!t->monitor)
        return err_set(e, ENOMEM, "make an entry");
    monitor_take(t->monitor, fd_steal(&fd));
    rc = monitor_connect_port(t->monitor, p->a->warden, MONITOR_AGENT_PORT, &t->agent_fd);
    if (rc < 0)
        return err_set(e, -rc, "connect to envd");
    return ask_agent(&t->agent_fd, NULL, e);
}

/* Starts the sandbox of an entry that is MAKING, without the lock. */
static void make_entry(struct pool *p, struct entry *e)
{
    struct pool_key key = p->class[e->class].key; /* fixed while the class has an entry */
    struct pool_taken t = { .id = e->has.id, .agent_fd = -1 };
    struct err why = { 0 };
    int rc = spawn(p, &key, &t, &why);

    lock(p);
    struct class *c = &p->class[e->class];
    if (rc == 0 && !e->exited) {
        c->failures = 0;
        e->has = t;
        e->born_ns = clock_boot_ns();
        e->state = ENTRY_READY;
        tell_all(p);
        unlock(p);
        return;
    }
    c->not_before_ns = clock_boot_ns() + pool_backoff(++c->failures);
    bool is_first = c->failures == 1;
    e->state = ENTRY_ENDING;
    unlock(p);
    /* That the warden is full is no fault: requests have all the places. */
    if (is_first && why.code != EAGAIN && why.code != ENOSPC && why.code != ENOTCONN)
        log_warn("pool_start_failed", "sandbox=%s err=\"%s\"", t.id.text,
                 rc < 0 ? why.text : "it ended at once");
    pool_taken_fini(&t);
    (void)end_entry(p, e, KILL_LIMIT_NS);
}

/* Has an interpreter started in an entry that is MAKING again, without the lock. */
static void warm_entry(struct pool *p, struct entry *e)
{
    const char *body = p->class[e->class].warm; /* fixed while the class has an entry */
    struct err why = { 0 };
    int rc = ask_agent(&e->has.agent_fd, body, &why);

    lock(p);
    if (rc == 0 && !e->exited) {
        e->state = ENTRY_READY;
        tell_all(p);
        unlock(p);
        return;
    }
    e->state = ENTRY_ENDING;
    unlock(p);
    log_warn("pool_start_failed", "sandbox=%s err=\"%s\"", e->has.id.text,
             rc < 0 ? why.text : "it ended at once");
    (void)end_entry(p, e, KILL_LIMIT_NS);
}

/* --- the threads --- */

static void share_out(struct pool *p, uint64_t now_ns)
{
    unsigned want[CLASSES_MAX], share[CLASSES_MAX];

    for (unsigned c = 0; c < CLASSES_MAX; c++)
        want[c] = p->class[c].used ? pool_want(&p->class[c].demand, now_ns, p->limit) : 0;
    pool_share(want, CLASSES_MAX, p->limit, share);
    for (unsigned c = 0; c < CLASSES_MAX; c++)
        p->class[c].share = share[c];
}

/* One that is too old, or too many. */
static struct entry *pick_to_end(struct pool *p, uint64_t now_ns)
{
    for (unsigned c = 0; c < CLASSES_MAX; c++) {
        struct entry *oldest = p->class[c].used ? pick(p, c, true) : NULL;
        if (oldest && (count(p, ENTRY_READY, (int)c) > p->class[c].share ||
                       pool_is_due(oldest->born_ns, now_ns)))
            return oldest;
    }
    return NULL;
}

/* Reserves an entry for a class that lacks one; else *next_ns says when to look again at the latest. */
static struct entry *pick_to_make(struct pool *p, unsigned n_fleet, uint64_t now_ns,
                                  uint64_t *next_ns)
{
    struct entry *e = NULL;

    for (unsigned c = 0; c < CLASSES_MAX && !e; c++) {
        const struct class *k = &p->class[c];
        const struct pool_look look = {
            .have = count(p, ENTRY_READY, (int)c) + count(p, ENTRY_MAKING, (int)c),
            .share = k->share,
            .taken_places = n_fleet + count_all(p),
            .places = lifecycle_max_sandboxes(p->a),
            .waiting = p->waiting,
            .last_take_ns = k->last_take_ns,
            .not_before_ns = k->not_before_ns,
        };
        uint64_t when = k->used ? pool_when_to_make(&look, now_ns) : UINT64_MAX;
        *next_ns = when < *next_ns ? when : *next_ns;
        for (unsigned i = 0; when == 0 && i < p->limit && !e; i++)
            if (p->entry[i].state == ENTRY_FREE)
                e = &p->entry[i];
        if (e) {
            *e = (struct entry){ .state = ENTRY_MAKING, .class = c, .has.agent_fd = -1 };
            e->has.id.text[0] = 'i';
            rand_id(e->has.id.text + 1, SANDBOX_ID_LEN - 1);
        }
    }
    return e;
}

/* One for which it is time to have an interpreter wait; else *next_ns says when to look again at the latest. */
static struct entry *pick_to_warm(struct pool *p, uint64_t now_ns, uint64_t *next_ns)
{
    for (unsigned i = 0; i < p->limit; i++) {
        struct entry *e = &p->entry[i];
        const struct class *c = &p->class[e->class];
        if (e->state != ENTRY_READY || e->warm || !c->warm)
            continue;
        uint64_t when = pool_when_to_warm(e->born_ns, c->last_take_ns, p->waiting, now_ns);
        if (when == 0)
            return e;
        *next_ns = when < *next_ns ? when : *next_ns;
    }
    return NULL;
}

static bool is_in_demand(const struct pool *p)
{
    for (unsigned c = 0; c < CLASSES_MAX; c++)
        if (p->class[c].used && p->class[c].share > 0)
            return true;
    return count_all(p) > 0;
}

/* One step; with the lock held before and after. */
static void work(struct pool *p, unsigned n_fleet)
{
    uint64_t now_ns = clock_boot_ns();
    uint64_t next_ns = UINT64_MAX;

    share_out(p, now_ns);
    struct entry *e = pick_to_end(p, now_ns);
    if (e) {
        e->state = ENTRY_ENDING;
        unlock(p);
        (void)end_entry(p, e, KILL_LIMIT_NS);
        lock(p);
        return;
    }
    e = pick_to_make(p, n_fleet, now_ns, &next_ns);
    if (e) {
        unlock(p);
        make_entry(p, e);
        lock(p);
        return;
    }
    e = pick_to_warm(p, now_ns, &next_ns);
    if (e) {
        e->state = ENTRY_MAKING;
        e->warm = true;
        unlock(p);
        warm_entry(p, e);
        lock(p);
        return;
    }
    if (is_in_demand(p) && now_ns + TICK_NS < next_ns)
        next_ns = now_ns + TICK_NS;
    wait_until(p, next_ns);
}

static void *pool_main(void *arg)
{
    struct pool *p = arg;

    lock(p);
    while (!p->stop) {
        unsigned states[3];
        unlock(p); /* the fleet has a lock of its own, which is not to be inside ours */
        fleet_count(p->a->fleet, states);
        lock(p);
        if (!p->stop)
            work(p, states[0] + states[1] + states[2]);
    }
    unlock(p);
    return NULL;
}

int pool_start(struct pool **out, struct app *a, struct err *e)
{
    AUTO_FREE struct pool *p = calloc(1, sizeof *p);
    pthread_condattr_t monotonic;

    if (!p)
        return err_set(e, ENOMEM, "start the pool");
    p->a = a;
    p->limit = pool_limit(a->config.pool_max, (uint64_t)a->config.pool_memory_mb << 20,
                          a->config.warm_python ? BYTES_PER_WARM_ENTRY : BYTES_PER_ENTRY);
    for (unsigned i = 0; i < POOL_ENTRIES_MAX; i++)
        p->entry[i].has.agent_fd = -1;
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&p->changed, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    for (; p->n_threads < THREADS && p->limit > 0; p->n_threads++) {
        int rc = pthread_create(&p->thread[p->n_threads], NULL, pool_main, p);
        if (rc != 0) {
            pool_drain(p);
            pool_free(ptr_steal(&p));
            return err_set(e, rc, "start the pool");
        }
    }
    *out = ptr_steal(&p);
    return 0;
}

void pool_drain(struct pool *p)
{
    uint64_t limit_ns = DRAIN_LIMIT_NS;

    lock(p);
    p->stop = true;
    tell_all(p);
    unlock(p);
    for (unsigned i = 0; i < p->n_threads; i++)
        (void)pthread_join(p->thread[i], NULL);
    p->n_threads = 0;
    for (unsigned i = 0; i < p->limit; i++) {
        struct entry *e = &p->entry[i];
        lock(p);
        bool go = e->state == ENTRY_READY && limit_ns > 0;
        if (go)
            e->state = ENTRY_ENDING;
        unlock(p);
        if (go && end_entry(p, e, limit_ns) < 0)
            limit_ns = 0; /* a warden that does not answer is not asked again */
    }
}

void pool_free(struct pool *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->limit; i++)
        pool_taken_fini(&p->entry[i].has);
    for (unsigned c = 0; c < CLASSES_MAX; c++)
        free(p->class[c].warm);
    (void)pthread_cond_destroy(&p->changed);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}
