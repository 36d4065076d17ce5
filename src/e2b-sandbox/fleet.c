/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/fleet.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "codec/json.h"

struct fleet {
    pthread_mutex_t lock;
    uint64_t last_started_ns;
    size_t n;
    struct sandbox *member[WARDEN_MAX_SANDBOXES]; /* the first n */
    struct sandbox_id id[WARDEN_MAX_SANDBOXES]; /* theirs: a search reads this and no member */
};

/* --- one sandbox --- */

struct sandbox *sandbox_new(const struct sandbox_facts *f, const char *metadata_text)
{
    struct sandbox *s = calloc(1, sizeof *s);
    pthread_condattr_t monotonic;
    struct err e;

    if (!s)
        return NULL;
    s->facts = *f;
    atomic_init(&s->refs, 1);
    atomic_init(&s->conns, 0);
    atomic_init(&s->locks, 0);
    atomic_init(&s->epoch, 0);
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_mutex_init(&s->change_lock, NULL);
    (void)pthread_mutex_init(&s->monitor.lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->monitor.idle, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    s->monitor.fd = -1;
    s->metadata_text = strdup(metadata_text);
    s->metadata = json_parse(str_from(metadata_text), &e);
    if (!s->metadata_text || !json_is_object(s->metadata)) {
        sandbox_put(s);
        return NULL;
    }
    return s;
}

struct sandbox *sandbox_ref(struct sandbox *s)
{
    (void)atomic_fetch_add(&s->refs, 1);
    return s;
}

void sandbox_put(struct sandbox *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    if (s->monitor.fd >= 0)
        (void)close(s->monitor.fd);
    (void)pthread_mutex_destroy(&s->lock);
    (void)pthread_mutex_destroy(&s->change_lock);
    (void)pthread_mutex_destroy(&s->monitor.lock);
    (void)pthread_cond_destroy(&s->monitor.idle);
    explicit_bzero(s->facts.token, sizeof s->facts.token);
    json_decref(s->metadata);
    free(s->metadata_text);
    network_wish_fini(&s->network.wish);
    free(s);
}

struct sandbox_now sandbox_look(struct sandbox *s)
{
    (void)pthread_mutex_lock(&s->lock);
    struct sandbox_now now = { s->state,       s->started_ns, s->end_ns, s->running_since_ns,
                               s->monitor_pid, s->host_uid,   s->limits, s->ender };
    (void)pthread_mutex_unlock(&s->lock);
    return now;
}

void sandbox_set_ender(struct sandbox *s, const struct audit_who *who)
{
    (void)pthread_mutex_lock(&s->lock);
    s->ender = *who;
    (void)pthread_mutex_unlock(&s->lock);
}

void sandbox_token(struct sandbox *s, char out[SANDBOX_TOKEN_MAX + 1])
{
    (void)pthread_mutex_lock(&s->lock);
    memcpy(out, s->facts.token, SANDBOX_TOKEN_MAX + 1);
    (void)pthread_mutex_unlock(&s->lock);
}

void sandbox_set_token(struct sandbox *s, const char *token)
{
    (void)pthread_mutex_lock(&s->lock);
    (void)str_copy(str_from(token), s->facts.token,
                   sizeof s->facts.token); /* as long as the old */
    (void)pthread_mutex_unlock(&s->lock);
}

void sandbox_set_told(struct sandbox *s, const struct told *told, uint32_t n)
{
    (void)pthread_mutex_lock(&s->lock);
    if (n > 0)
        memcpy(s->facts.told, told, n * sizeof *told);
    s->facts.n_told = n;
    (void)pthread_mutex_unlock(&s->lock);
}

void sandbox_set_end(struct sandbox *s, uint64_t end_ns)
{
    (void)pthread_mutex_lock(&s->lock);
    s->end_ns = end_ns;
    (void)pthread_mutex_unlock(&s->lock);
}

void sandbox_set_host(struct sandbox *s, const struct warden_msg *m)
{
    (void)pthread_mutex_lock(&s->lock);
    s->host_uid = m->host_uid;
    s->monitor_pid = m->monitor_pid;
    s->limits = m->limits;
    (void)pthread_mutex_unlock(&s->lock);
}

void sandbox_add_sample(struct sandbox *s, const struct sample *one)
{
    (void)pthread_mutex_lock(&s->lock);
    s->sample[s->next_sample] = *one;
    s->next_sample = (s->next_sample + 1) % SAMPLES_MAX;
    if (s->n_samples < SAMPLES_MAX)
        s->n_samples++;
    (void)pthread_mutex_unlock(&s->lock);
}

void sandbox_add_counts(struct sandbox *s, uint64_t oom_kills, uint64_t tripwires)
{
    (void)pthread_mutex_lock(&s->lock);
    if (oom_kills > s->counts.oom_kills)
        s->counts.oom_kills = oom_kills;
    if (tripwires > s->counts.tripwires)
        s->counts.tripwires = tripwires;
    (void)pthread_mutex_unlock(&s->lock);
}

struct sandbox_counts sandbox_counts(struct sandbox *s)
{
    (void)pthread_mutex_lock(&s->lock);
    struct sandbox_counts counts = s->counts;
    (void)pthread_mutex_unlock(&s->lock);
    return counts;
}

bool sandbox_newest(struct sandbox *s, uint64_t *memory_bytes)
{
    (void)pthread_mutex_lock(&s->lock);
    bool has_one = s->n_samples > 0;
    if (has_one) {
        *memory_bytes =
            s->sample[(s->next_sample + SAMPLES_MAX - 1) % SAMPLES_MAX].memory_bytes;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return has_one;
}

size_t sandbox_samples(struct sandbox *s, struct sample *out)
{
    (void)pthread_mutex_lock(&s->lock);
    size_t n = s->n_samples;
    size_t first = (s->next_sample + SAMPLES_MAX - s->n_samples) % SAMPLES_MAX;
    for (size_t i = 0; i < n; i++)
        out[i] = s->sample[(first + i) % SAMPLES_MAX];
    (void)pthread_mutex_unlock(&s->lock);
    return n;
}

static void set_state(struct sandbox *s, enum sandbox_state state)
{
    (void)pthread_mutex_lock(&s->lock);
    s->state = state;
    (void)pthread_mutex_unlock(&s->lock);
}

static enum sandbox_state state_of(struct sandbox *s)
{
    (void)pthread_mutex_lock(&s->lock);
    enum sandbox_state state = s->state;
    (void)pthread_mutex_unlock(&s->lock);
    return state;
}

/* --- all of them. fleet.lock is outside of sandbox.lock here and nowhere the other way round. --- */

struct fleet *fleet_new(void)
{
    struct fleet *f = calloc(1, sizeof *f);

    if (f)
        (void)pthread_mutex_init(&f->lock, NULL);
    return f;
}

void fleet_free(struct fleet *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n; i++)
        sandbox_put(f->member[i]);
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
}

static size_t index_of(const struct fleet *f, const struct sandbox *s)
{
    size_t i = 0;
    while (i < f->n && f->member[i] != s)
        i++;
    return i;
}

static struct sandbox *find(const struct fleet *f, const struct sandbox_id *id)
{
    for (size_t i = 0; i < f->n; i++)
        if (memcmp(&f->id[i], id, sizeof *id) == 0)
            return f->member[i];
    return NULL;
}

int fleet_add(struct fleet *f, struct sandbox *s, uint32_t max)
{
    int rc = 0;

    (void)pthread_mutex_lock(&f->lock);
    if (f->n >= max || f->n >= WARDEN_MAX_SANDBOXES)
        rc = -ENOSPC;
    else if (find(f, &s->facts.id))
        rc = -EEXIST;
    else {
        f->id[f->n] = s->facts.id;
        f->member[f->n++] = sandbox_ref(s);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return rc;
}

bool fleet_start(struct fleet *f, struct sandbox *s, uint64_t real_ns, uint64_t mono_ns)
{
    (void)pthread_mutex_lock(&f->lock);
    bool is_in = index_of(f, s) < f->n;
    if (is_in) {
        if (real_ns <= f->last_started_ns)
            real_ns = f->last_started_ns + 1;
        f->last_started_ns = real_ns;
        (void)pthread_mutex_lock(&s->lock);
        s->state = SANDBOX_RUNNING;
        s->started_ns = real_ns;
        s->running_since_ns = mono_ns;
        (void)pthread_mutex_unlock(&s->lock);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return is_in;
}

bool fleet_adopt(struct fleet *f, struct sandbox *s, uint64_t started_ns, uint64_t end_ns)
{
    s->state = SANDBOX_RUNNING; /* nobody else has it yet */
    s->started_ns = started_ns;
    s->end_ns = end_ns;
    if (fleet_add(f, s, WARDEN_MAX_SANDBOXES) < 0)
        return false;
    (void)pthread_mutex_lock(&f->lock);
    if (started_ns > f->last_started_ns)
        f->last_started_ns = started_ns;
    (void)pthread_mutex_unlock(&f->lock);
    return true;
}

bool fleet_stop(struct fleet *f, struct sandbox *s)
{
    (void)pthread_mutex_lock(&f->lock);
    bool go = index_of(f, s) < f->n && state_of(s) == SANDBOX_RUNNING;
    if (go)
        set_state(s, SANDBOX_STOPPING);
    (void)pthread_mutex_unlock(&f->lock);
    return go;
}

void fleet_unstop(struct fleet *f, struct sandbox *s)
{
    (void)pthread_mutex_lock(&f->lock);
    if (index_of(f, s) < f->n)
        set_state(s, SANDBOX_RUNNING);
    (void)pthread_mutex_unlock(&f->lock);
}

bool fleet_remove(struct fleet *f, struct sandbox *s)
{
    (void)pthread_mutex_lock(&f->lock);
    size_t i = index_of(f, s);
    bool was_in = i < f->n;
    if (was_in) {
        f->member[i] = f->member[--f->n];
        f->id[i] = f->id[f->n];
    }
    (void)pthread_mutex_unlock(&f->lock);
    if (was_in)
        sandbox_put(s);
    return was_in;
}

struct sandbox *fleet_find(struct fleet *f, struct str id)
{
    struct sandbox_id key = { 0 };
    struct sandbox *s = NULL;

    if (str_copy(id, key.text, sizeof key.text) < 0)
        return NULL;
    (void)pthread_mutex_lock(&f->lock);
    s = find(f, &key);
    if (s)
        s = state_of(s) == SANDBOX_RUNNING ? sandbox_ref(s) : NULL;
    (void)pthread_mutex_unlock(&f->lock);
    return s;
}

struct sandbox *fleet_find_any(struct fleet *f, const struct sandbox_id *id)
{
    (void)pthread_mutex_lock(&f->lock);
    struct sandbox *s = find(f, id);
    if (s)
        (void)sandbox_ref(s);
    (void)pthread_mutex_unlock(&f->lock);
    return s;
}

size_t fleet_all(struct fleet *f, struct sandbox **out)
{
    (void)pthread_mutex_lock(&f->lock);
    size_t n = f->n;
    for (size_t i = 0; i < n; i++)
        out[i] = sandbox_ref(f->member[i]);
    (void)pthread_mutex_unlock(&f->lock);
    return n;
}

void fleet_count(struct fleet *f, unsigned count[3])
{
    count[SANDBOX_STARTING] = count[SANDBOX_RUNNING] = count[SANDBOX_STOPPING] = 0;
    (void)pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < f->n; i++)
        count[state_of(f->member[i])]++;
    (void)pthread_mutex_unlock(&f->lock);
}
