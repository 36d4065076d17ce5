/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/pool: sandboxes that were started ahead of demand (docs/adr/0030).
 *
 * An entry is an ordinary sandbox with a random id that no client knows: in no list, in no row, without token, environment or any
 * other word of a tenant. It is given away once; whoever takes it makes it a client's or ends it, and it never comes back
 * after it was touched. Threads of its own make entries, after the requests, and end those that are too many or too old.
 *
 * The pool never stands in a create's way: pool_make_room ends entries when the warden is full.
 * Threads: all functions may be called from any, pool_exited also from the warden's; no lock is held across a call. */
#pragma once
#include "e2b-sandbox/app.h"
#include "store/template.h"

/* What SPAWN fixes for good. A sandbox that needs more than this says (a network, say) does not come from the pool. */
struct pool_key {
    struct image_digest image;
    struct sandbox_limits limits;
    struct sandbox_policy policy;
};

struct pool_taken {
    struct sandbox_id id;
    struct warden_msg host; /* the warden's answer to its SPAWN */
    struct sandbox
        *monitor; /* owned: a sandbox in no fleet, which has the connection to the monitor */
    int agent_fd; /* owned: a connection to envd that has answered once */
};

int pool_start(struct pool **out, struct app *a, struct err *e);
/* Ends the threads and every entry that the warden can be told to end; p gives nothing away any more. */
void pool_drain(struct pool *p);
/* After that, and when nobody else calls any more. NULL is fine. */
void pool_free(struct pool *p);

/* A ready entry of that key, or false. Either way it is noted that one was wanted; the template says for whom an interpreter waits in later
 * ones. NULL is fine. */
bool pool_take(struct pool *p, const struct pool_key *k, const struct template *t,
               struct pool_taken *out);
/* It is known elsewhere now (the fleet), or it is gone. Does not touch *t. */
void pool_forget(struct pool *p, const struct pool_taken *t);
/* It was not touched: for the next one. */
void pool_put_back(struct pool *p, struct pool_taken *t);
void pool_taken_fini(struct pool_taken *t);

/* Around the start of a sandbox that does not come from the pool: meanwhile the pool starts none. NULL is fine. */
void pool_begin_start(struct pool *p);
void pool_end_start(struct pool *p);
/* The warden has no place for one more. True if one was freed, or may have been, for which the pool was the reason. */
bool pool_make_room(struct pool *p);

/* For whoever finds a sandbox at the warden that is in no fleet. */
bool pool_knows(struct pool *p, const struct sandbox_id *id);
/* It ended by itself. */
void pool_exited(struct pool *p, const struct sandbox_id *id);
/* The warden runs these; asked for at asked_ns, CLOCK_BOOTTIME. */
void pool_compare(struct pool *p, const struct warden_msg *rows, size_t n, uint64_t asked_ns);

struct pool_numbers {
    unsigned ready, making;
    uint64_t hits, misses;
};
struct pool_numbers pool_numbers(struct pool *p);
