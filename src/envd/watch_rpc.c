/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/watch_rpc.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/rand.h"
#include "codec/json.h"
#include "envd/app.h"
#include "envd/entry.h"
#include "envd/filesystem_rpc.h"
#include "envd/paths.h"
#include "envd/watch.h"

#define ID_CHARS   20
#define BATCH_MAX  (4u << 20)
#define POLLED_MAX (1u << 20) /* bytes of events that a polling watcher keeps */

/* --- events as JSON --- */

struct events {
    const char *root;
    bool include_entry, as_stream;
    struct users *files;
    struct buf *out; /* envelopes, or objects each followed by a comma */
};

static void write_event(struct events *v, const char *name, enum watch_op op, struct buf *json)
{
    char path[PATHS_MAX];

    buf_add_cstr(json, "{\"name\":");
    json_write_str(json, str_from(name));
    buf_addf(json, ",\"type\":\"%s\"", watch_op_name(op));
    if (v->include_entry && (op == WATCH_CREATE || op == WATCH_WRITE || op == WATCH_CHMOD) &&
        paths_join(v->root, str_from(name), path) == 0) {
        size_t before = json->n;
        buf_add_cstr(json, ",\"entry\":");
        if (entry_write(path, v->files, json) < 0)
            json->n = before;
    }
    buf_add_char(json, '}');
}

static void tell(void *arg, const char *name, enum watch_op op)
{
    struct events *v = arg;
    AUTO_BUF struct buf json = BUF_INIT(65536);

    if (v->as_stream)
        buf_add_cstr(&json, "{\"filesystem\":");
    write_event(v, name, op, &json);
    buf_add_cstr(&json, v->as_stream ? "}" : ",");
    if (!buf_ok(&json))
        return;
    if (v->as_stream)
        rpc_envelope(v->out, buf_str(&json));
    else if (v->out->n + json.n <= POLLED_MAX)
        buf_add_str(v->out,
                    buf_str(&json)); /* what a client does not fetch is dropped at the end */
}

/* --- a new watch --- */

struct watch_request {
    char path[PATHS_MAX];
    bool recursive, include_entry, allow_network;
};

static int read_request(struct rpc *r, struct watch_request *q)
{
    AUTO_USERS struct users files = { 0 };
    struct user who;
    struct err e;

    if (rpc_user(r, &files, &who) < 0 || filesystem_path(r, "path", &who, q->path) < 0)
        return -1;
    if (json_get_bool(r->req, "recursive", &q->recursive, &e) < 0 ||
        json_get_bool(r->req, "includeEntry", &q->include_entry, &e) < 0 ||
        json_get_bool(r->req, "allowNetworkMounts", &q->allow_network, &e) < 0)
        return rpc_fail_field(r, &e);
    return 0;
}

static struct watch *new_watch(struct rpc *r, const struct watch_request *q)
{
    struct watch *w = NULL;
    struct stat st;

    int rc = stat(q->path, &st) < 0 ? -errno : S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
    if (rc == 0 && !q->allow_network && watch_is_remote(q->path)) {
        (void)rpc_fail(r, CONNECT_INVALID_ARGUMENT,
                       "cannot watch path on network filesystem: %s", q->path);
        return NULL;
    }
    if (rc == 0)
        rc = watch_new(&w, q->path, q->recursive);
    if (rc == -ENOENT)
        (void)rpc_fail(r, CONNECT_NOT_FOUND, "path %s not found", q->path);
    else if (rc == -ENOTDIR)
        (void)rpc_fail(r, CONNECT_INVALID_ARGUMENT, "path %s not a directory", q->path);
    else if (rc == -E2BIG || rc == -ENOSPC)
        (void)rpc_fail(r, CONNECT_RESOURCE_EXHAUSTED, "too many directories below %s", q->path);
    else if (rc < 0)
        (void)rpc_fail_errno(r, -rc, "error watching %s", q->path);
    return w;
}

/* --- WatchDir --- */

static int send_text(struct rpc *r, struct str json)
{
    AUTO_BUF struct buf out = BUF_INIT(256);
    rpc_envelope(&out, json);
    return rpc_send(r, &out);
}

/* One look at what happened. 0, or -1 when the stream is over. */
static int send_events(struct rpc *r, struct watch *w, const struct watch_request *q,
                       bool *sent)
{
    AUTO_BUF struct buf out = BUF_INIT(BATCH_MAX);
    AUTO_USERS struct users files = { 0 };
    struct events v = { q->path, q->include_entry, true, &files, &out };

    if (q->include_entry)
        users_load(&files);
    int rc = watch_read(w, tell, &v);
    *sent = out.n > 0;
    if (!buf_ok(&out))
        rc = -EOVERFLOW;
    else if (*sent && rpc_send(r, &out) < 0)
        return -1;
    return rc < 0 ? rpc_fail(r, CONNECT_INTERNAL, "watcher error: events were lost") : 0;
}

static void follow(struct rpc *r, struct watch *w, const struct watch_request *q)
{
    uint64_t keepalive_at = clock_mono_ns() + r->keepalive_ns;
    bool sent;

    if (send_text(r, STR("{\"start\":{}}")) < 0)
        return;
    while (!r->done) {
        if (send_events(r, w, q, &sent) < 0)
            return;
        uint64_t now = clock_mono_ns();
        if (rpc_deadline_passed(r, now)) {
            (void)rpc_fail(r, CONNECT_DEADLINE_EXCEEDED, "context deadline exceeded");
            return;
        }
        if (!sent && now >= keepalive_at)
            sent = send_text(r, STR("{\"keepalive\":{}}")) == 0;
        if (sent)
            keepalive_at = now + r->keepalive_ns;
        if (!r->done)
            (void)rpc_wait(r, watch_fd(w), keepalive_at);
    }
}

void watch_rpc_stream(struct rpc *r)
{
    struct watch_request q = { 0 };

    if (read_request(r, &q) < 0)
        return;
    struct watch *w = new_watch(r, &q);
    if (w)
        follow(r, w, &q);
    watch_free(w);
}

/* --- polling watchers --- */

struct watcher {
    struct loop_source src; /* first */
    struct watch_table *table;
    struct watcher *next;
    struct watch *watch;
    struct buf events;
    bool include_entry;
    bool removed;
    char id[ID_CHARS + 1];
};

struct watch_table {
    pthread_mutex_t lock; /* guards the list and all in it */
    struct loop *loop;
    struct watcher *all;
    size_t n;
};

int watch_table_new(struct watch_table **out, struct loop *loop)
{
    struct watch_table *t = calloc(1, sizeof *t);

    if (!t)
        return -ENOMEM;
    (void)pthread_mutex_init(&t->lock, NULL);
    t->loop = loop;
    *out = t;
    return 0;
}

static void free_watcher(struct watcher *w)
{
    loop_del(w->table->loop, &w->src);
    watch_free(w->watch);
    buf_fini(&w->events);
    free(w);
}

static void sweep(struct watch_table *t, bool all)
{
    for (struct watcher **at = &t->all; *at;) {
        struct watcher *w = *at;
        if (!all && !w->removed) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        if (!w->removed)
            t->n--;
        free_watcher(w);
    }
}

void watch_table_tick(struct watch_table *t)
{
    (void)pthread_mutex_lock(&t->lock);
    sweep(t, false);
    (void)pthread_mutex_unlock(&t->lock);
}

void watch_table_free(struct watch_table *t)
{
    if (!t)
        return;
    sweep(t, true);
    (void)pthread_mutex_destroy(&t->lock);
    free(t);
}

static void collect(struct watcher *w)
{
    AUTO_USERS struct users files = { 0 };
    struct events v = { watch_root(w->watch), w->include_entry, false, &files, &w->events };

    if (w->include_entry)
        users_load(&files);
    (void)watch_read(w->watch, tell,
                     &v); /* the answer has no way to say that events were lost */
}

static void watcher_ready(struct loop_source *src, uint32_t events)
{
    struct watcher *w = (struct watcher *)(void *)src; /* src is its first member */

    (void)events;
    (void)pthread_mutex_lock(&w->table->lock);
    if (!w->removed)
        collect(w);
    (void)pthread_mutex_unlock(&w->table->lock);
}

static struct watcher *find(struct watch_table *t, const char *id)
{
    for (struct watcher *w = t->all; w; w = w->next)
        if (!w->removed && strcmp(w->id, id) == 0)
            return w;
    return NULL;
}

static int enter(struct watch_table *t, struct watcher *w)
{
    (void)pthread_mutex_lock(&t->lock);
    int rc = t->n >= WATCHERS_MAX ? -EAGAIN : loop_add(t->loop, &w->src);
    if (rc == 0) {
        w->next = t->all;
        t->all = w;
        t->n++;
    }
    (void)pthread_mutex_unlock(&t->lock);
    return rc;
}

void watch_rpc_create(struct rpc *r)
{
    AUTO_BUF struct buf json = BUF_INIT(128);
    struct watch_table *t = r->app->watches;
    struct watch_request q = { 0 };

    if (read_request(r, &q) < 0)
        return;
    struct watch *watch = new_watch(r, &q);
    if (!watch)
        return;
    struct watcher *w = calloc(1, sizeof *w);
    if (!w) {
        watch_free(watch);
        (void)rpc_fail(r, CONNECT_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    *w = (struct watcher){ .src = { .fd = watch_fd(watch), .ready = watcher_ready },
                           .table = t,
                           .watch = watch,
                           .events = BUF_INIT(POLLED_MAX),
                           .include_entry = q.include_entry };
    rand_id(w->id, ID_CHARS);
    buf_addf(&json, "{\"watcherId\":\"%s\"}", w->id);
    if (enter(t, w) < 0) {
        free_watcher(w); /* the loop has never seen it */
        (void)rpc_fail(r, CONNECT_RESOURCE_EXHAUSTED, "more than %u watchers", WATCHERS_MAX);
        return;
    }
    rpc_reply(r, &json);
}

static int read_id(struct rpc *r, const char **id)
{
    struct err e;

    *id = "";
    return json_get_str(r->req, "watcherId", 256, id, &e) < 0 ? rpc_fail_field(r, &e) : 0;
}

static void fail_unknown(struct rpc *r, const char *id)
{
    (void)rpc_fail(r, CONNECT_NOT_FOUND, "watcher with id %s not found", id);
}

void watch_rpc_events(struct rpc *r)
{
    AUTO_BUF struct buf json = BUF_INIT(POLLED_MAX + 64);
    struct watch_table *t = r->app->watches;
    const char *id;

    if (read_id(r, &id) < 0)
        return;
    (void)pthread_mutex_lock(&t->lock);
    struct watcher *w = find(t, id);
    if (w) {
        collect(w);
        buf_add_cstr(&json, "{\"events\":[");
        buf_add_str(&json, buf_str(&w->events));
        if (w->events.n > 0 && buf_ok(&json))
            json.n--; /* the comma behind the last one */
        buf_add_cstr(&json, "]}");
        buf_fini(&w->events);
    }
    (void)pthread_mutex_unlock(&t->lock);
    if (w)
        rpc_reply(r, &json);
    else
        fail_unknown(r, id);
}

void watch_rpc_remove(struct rpc *r)
{
    AUTO_BUF struct buf json = BUF_INIT(16);
    struct watch_table *t = r->app->watches;
    const char *id;

    if (read_id(r, &id) < 0)
        return;
    (void)pthread_mutex_lock(&t->lock);
    struct watcher *w = find(t, id);
    if (w) {
        w->removed = true;
        t->n--;
    }
    (void)pthread_mutex_unlock(&t->lock);
    if (!w) {
        fail_unknown(r, id);
        return;
    }
    loop_wake(t->loop); /* its thread frees it */
    buf_add_cstr(&json, "{}");
    rpc_reply(r, &json);
}
