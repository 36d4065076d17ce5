/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/metrics: counters and their Prometheus text. Every series exists from the start and no label comes from outside,
 * so nothing that clients send makes it grow. Threads: all functions may be called from any; counting takes no lock. */
#pragma once
#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"
#include "ipc/warden_proto.h"

/* What a request was for. */
enum route_class {
    CLASS_CREATE,
    CLASS_LIST,
    CLASS_GET,
    CLASS_KILL,
    CLASS_TIMEOUT,
    CLASS_CONNECT,
    CLASS_SANDBOX_METRICS,
    CLASS_TEMPLATES,
    CLASS_ADMIN,
    CLASS_HEALTH,
    CLASS_METRICS,
    CLASS_SANDBOX_PORT,
    CLASS_OTHER,
    CLASSES
};

#define HISTOGRAM_BUCKETS 14u
struct histogram {
    atomic_ullong bucket[HISTOGRAM_BUCKETS + 1]; /* the last one is +Inf; not cumulative */
    atomic_ullong sum_ns;
};

struct metrics { /* zeroed is empty */
    atomic_ullong requests[CLASSES]
                          [6]; /* by hundreds of the status; 0: the client went away first */
    struct histogram request_time, create_time;
    atomic_ullong created, create_failed, auth_failed, auth_throttled;
    atomic_ullong ended[CAUSE_MAX];
    atomic_ullong oom_kills, tripwires; /* of sandboxes that have ended */
    atomic_ullong orphans_killed, relayed_up, relayed_down;
};

void histogram_add(struct histogram *h, uint64_t ns);
void metrics_request(struct metrics *m, enum route_class class, unsigned status,
                     uint64_t took_ns);

/* What is measured at the time of asking. */
struct metrics_now {
    unsigned running, starting, stopping;
    uint32_t max_sandboxes;
    bool warden_connected;
    unsigned conns, busy_threads, threads, relays;
    uint64_t accepted, refused_heads, refused_busy;
    uint64_t start_real_ns; /* of this process */
    /* Of the running sandboxes, by their newest samples; sorted ascending. */
    const uint64_t *memory;
    unsigned n_memory;
    uint64_t memory_sum;
    uint64_t oom_kills, tripwires; /* of those that are there */
    unsigned pool_ready, pool_making;
    uint64_t pool_hits, pool_misses;
    bool has_recorder, recorder_ready;
    uint64_t record_queue, record_dropped, record_backlog, record_lost;
};
/* Appends the text of format 0.0.4. */
void metrics_write(struct metrics *m, const struct metrics_now *now, struct buf *out);
