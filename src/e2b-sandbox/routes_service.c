/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "e2b-sandbox/answer.h"
#include "e2b-sandbox/lifecycle.h"
#include "e2b-sandbox/network.h"
#include "e2b-sandbox/pool.h"
#include "e2b-sandbox/recorder_client.h"
#include "e2b-sandbox/routes.h"

#define METRICS_MAX (1u << 20)

/* Does this process serve? */
void route_health(struct request *r)
{
    answer_empty(r->c, 204);
}

/* Can it do its work? */
void route_healthz(struct request *r)
{
    AUTO_BUF struct buf b = BUF_INIT(512);
    bool ok = warden_is_connected(r->a->warden);

    buf_addf(&b,
             "{\"ok\":%s,\"status\":\"%s\",\"service\":\"e2b-sandbox\",\"version\":\"%s\","
             "\"uptime_seconds\":%" PRIu64 ",\"dependencies\":{\"warden\":\"%s\"}}",
             ok ? "true" : "false", ok ? "healthy" : "unhealthy", FIREBREAK_VERSION,
             (clock_mono_ns() - r->a->start_mono_ns) / NS_PER_S,
             ok ? "connected" : "disconnected");
    answer_json(r->c, ok ? 200 : 503, NULL, &b);
}

void route_not_yet(struct request *r)
{
    char quoted[LOG_QUOTE_MAX];

    answer_error(r->c, 501, "not_implemented", NULL,
                 "%.*s %s is not supported by this version of the server",
                 (int)http_head(r->c)->method.n, http_head(r->c)->method.p,
                 log_quote(http_path(r->c), quoted));
}

/* --- metrics --- */

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

struct memory {
    struct sandbox *all[WARDEN_MAX_SANDBOXES];
    uint64_t bytes[WARDEN_MAX_SANDBOXES];
};

static void measure_memory(struct app *a, struct memory *m, struct metrics_now *now)
{
    size_t n = fleet_all(a->fleet, m->all);

    for (size_t i = 0; i < n; i++) {
        struct sandbox_counts counts = sandbox_counts(m->all[i]);
        uint64_t bytes;
        now->oom_kills += counts.oom_kills;
        now->tripwires += counts.tripwires;
        if (sandbox_newest(m->all[i], &bytes)) {
            m->bytes[now->n_memory++] = bytes;
            now->memory_sum += bytes;
        }
        sandbox_put(m->all[i]);
    }
    qsort(m->bytes, now->n_memory, sizeof m->bytes[0], by_size);
    now->memory = m->bytes;
}

static void measure_server(struct app *a, struct metrics_now *now)
{
    struct http_server *server = atomic_load(&a->server);
    struct http_server_stats stats = { 0 };
    unsigned count[3];

    if (server)
        http_server_get_stats(server, &stats);
    fleet_count(a->fleet, count);
    now->running = count[SANDBOX_RUNNING];
    now->starting = count[SANDBOX_STARTING];
    now->stopping = count[SANDBOX_STOPPING];
    const struct pool_numbers pool = pool_numbers(atomic_load(&a->pool));
    now->pool_ready = pool.ready;
    now->pool_making = pool.making;
    now->pool_hits = pool.hits;
    now->pool_misses = pool.misses;
    now->max_sandboxes = lifecycle_max_sandboxes(a);
    now->warden_connected = warden_is_connected(a->warden);
    now->conns = stats.conns;
    now->busy_threads = stats.busy_threads;
    now->threads = stats.threads;
    now->relays = stats.relays;
    now->accepted = stats.accepted;
    now->refused_heads = stats.refused_heads;
    now->refused_busy = stats.refused_busy;
    now->start_real_ns = a->start_real_ns;
}

static void measure_record(struct app *a, struct metrics_now *now)
{
    struct recorder_numbers n;

    if (!a->recorder)
        return;
    recorder_look(a->recorder, &n);
    now->has_recorder = true;
    now->recorder_ready = n.ready;
    now->record_queue = n.queued;
    now->record_dropped = n.dropped;
    now->record_backlog = n.backlog;
    now->record_lost = n.lost;
}

void route_metrics(struct request *r)
{
    AUTO_FREE struct memory *memory = calloc(1, sizeof *memory);
    AUTO_BUF struct buf b = BUF_INIT(METRICS_MAX);
    struct metrics_now now = { 0 };

    if (!memory) {
        answer_error(r->c, 500, "internal_server_error", NULL, "out of memory");
        return;
    }
    measure_memory(r->a, memory, &now);
    measure_server(r->a, &now);
    measure_record(r->a, &now);
    metrics_write(&r->a->metrics, &now, &b);
    network_metrics(r->a, &b);
    if (buf_ok(&b))
        (void)http_reply(r->c, 200, "text/plain; version=0.0.4; charset=utf-8", NULL,
                         buf_str(&b)); /* it may be gone */
    else
        answer_error(r->c, 500, "internal_server_error", NULL, "out of memory");
}
