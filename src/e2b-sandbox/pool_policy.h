/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/pool_policy: how many sandboxes to hold ready, and when to make or end one. Pure: no clock, no lock, no I/O.
 * Times are CLOCK_BOOTTIME nanoseconds, so that a suspended machine does not believe its old sandboxes to be young. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POOL_MIN        2u                           /* of a class that was used of late */
#define POOL_HALF_NS    (8 * UINT64_C(1000000000))   /* a creation counts half after this */
#define POOL_FORGET_NS  (600 * UINT64_C(1000000000)) /* without a creation: hold nothing */
#define POOL_LIFE_NS    (600 * UINT64_C(1000000000)) /* an entry's own deadline */
#define POOL_REPLACE_NS (480 * UINT64_C(1000000000)) /* an entry of that age is replaced */
#define POOL_REST_NS    (20 * UINT64_C(1000000))     /* requests go first for so long */
#define POOL_WARM_NS                                                                           \
    (150 * UINT64_C(1000000)) /* quiet, before an interpreter is started in an entry */
#define POOL_RETRY_NS     UINT64_C(1000000000) /* after a start that failed, doubled ... */
#define POOL_RETRY_MAX_NS (30 * UINT64_C(1000000000)) /* ... up to this */

/* How many creations there were of late, each counting less the older it is. Zeroed is none. */
struct pool_demand {
    uint64_t weight; /* in 1/65536 creations, as of: */
    uint64_t at_ns;
};
void pool_demand_note(struct pool_demand *d, uint64_t now_ns);
uint64_t pool_demand_weight(const struct pool_demand *d, uint64_t now_ns);

/* How many a class wants: as many as were created lately, POOL_MIN at least, none after POOL_FORGET_NS. */
unsigned pool_want(const struct pool_demand *d, uint64_t now_ns, unsigned max);

/* Divides `max` places among n classes: nobody gets more than it wants, and whoever gets less than that has no less than any
 * other. Earlier ones get the remainder. */
void pool_share(const unsigned *want, size_t n, unsigned max, unsigned *share);

/* The most entries that may be there at once: the operator's number, or what the memory is enough for. */
unsigned pool_limit(unsigned max_entries, uint64_t memory_bytes, uint64_t bytes_per_entry);

struct pool_look {          /* at one class and what surrounds it */
    unsigned have, share;   /* entries ready and being made; how many it is to have */
    unsigned taken_places;  /* of the server: sandboxes and all entries */
    unsigned places;        /* how many there are */
    unsigned waiting;       /* requests that wait for a sandbox to be made */
    uint64_t last_take_ns;  /* 0: never */
    uint64_t not_before_ns; /* after a failure */
};
/* 0: make one now; UINT64_MAX: not until something changes; else when to look again. */
uint64_t pool_when_to_make(const struct pool_look *l, uint64_t now_ns);

/* When an entry gets its interpreter, whose start costs more than that of the sandbox: not before the entry has waited for a while in
 * which nobody took one. 0: now; UINT64_MAX: not until something changes. */
uint64_t pool_when_to_warm(uint64_t born_ns, uint64_t last_take_ns, unsigned waiting,
                           uint64_t now_ns);

/* Is an entry of that birth too old to be given away, and is it time to replace it? */
bool pool_is_old(uint64_t born_ns, uint64_t now_ns);
bool pool_is_due(uint64_t born_ns, uint64_t now_ns);

/* How long to wait after the n-th failure in a row (1...). */
uint64_t pool_backoff(unsigned n);
