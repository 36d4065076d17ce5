/* SPDX-License-Identifier: Apache-2.0 */
/* token_bucket: admit bursts of `capacity` units, and `per_second` units in the long run.
 * Pure arithmetic: no clock, no allocation, no lock. The caller passes CLOCK_MONOTONIC as
 * now_ns, so a test chooses the time. A plain value: copy or embed it; nothing to release. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct token_bucket {    /* fields are private to token_bucket.c */
    uint64_t capacity;   /* units, > 0 */
    uint64_t per_second; /* units per second, > 0 */
    uint64_t tokens;     /* units, <= capacity */
    uint64_t carry;      /* billionths of a unit, < 1e9 */
    uint64_t last_ns;    /* when tokens was last brought up to date */
};

/* Starts full. Returns 0, or -EINVAL (*tb untouched) if capacity or per_second is 0. */
int token_bucket_init(struct token_bucket *tb, uint64_t capacity, uint64_t per_second,
                      uint64_t now_ns);

/* Takes n units and returns true, or takes nothing and returns false. */
bool token_bucket_take(struct token_bucket *tb, uint64_t n, uint64_t now_ns);
