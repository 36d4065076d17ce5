/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/pool_policy.h"

#define ONE        65536u
#define WEIGHT_MAX (UINT64_C(1) << 32)

uint64_t pool_demand_weight(const struct pool_demand *d, uint64_t now_ns)
{
    uint64_t age_ns = now_ns > d->at_ns ? now_ns - d->at_ns : 0;
    uint64_t halvings = age_ns / POOL_HALF_NS;

    if (halvings >= 32)
        return 0;
    uint64_t w = d->weight >> halvings;
    /* Between two halvings in a straight line: a thousandth of a half-life is fine enough. */
    return w - w * ((age_ns % POOL_HALF_NS) / (POOL_HALF_NS / 1000)) / 2000;
}

void pool_demand_note(struct pool_demand *d, uint64_t now_ns)
{
    uint64_t w = pool_demand_weight(d, now_ns) + ONE;

    d->weight = w < WEIGHT_MAX ? w : WEIGHT_MAX;
    d->at_ns = now_ns > d->at_ns ? now_ns : d->at_ns;
}

unsigned pool_want(const struct pool_demand *d, uint64_t now_ns, unsigned max)
{
    if (d->weight == 0 || (now_ns > d->at_ns && now_ns - d->at_ns >= POOL_FORGET_NS))
        return 0;
    uint64_t n = (pool_demand_weight(d, now_ns) + ONE - 1) / ONE;
    if (n < POOL_MIN)
        n = POOL_MIN;
    return n < max ? (unsigned)n : max;
}

void pool_share(const unsigned *want, size_t n, unsigned max, unsigned *share)
{
    bool gave = true;

    for (size_t i = 0; i < n; i++)
        share[i] = 0;
    while (max > 0 && gave) {
        gave = false;
        for (size_t i = 0; i < n && max > 0; i++) {
            if (share[i] >= want[i])
                continue;
            share[i]++;
            max--;
            gave = true;
        }
    }
}

unsigned pool_limit(unsigned max_entries, uint64_t memory_bytes, uint64_t bytes_per_entry)
{
    uint64_t fit = memory_bytes / bytes_per_entry;
    return fit < max_entries ? (unsigned)fit : max_entries;
}

uint64_t pool_when_to_make(const struct pool_look *l, uint64_t now_ns)
{
    if (l->have >= l->share || l->taken_places >= l->places || l->waiting > 0)
        return UINT64_MAX;
    uint64_t at_ns = l->not_before_ns;
    /* Who has just taken one is at work with it: unless we run dry, that work goes first. */
    if (l->last_take_ns > 0 && l->have > l->share / 2 && l->last_take_ns + POOL_REST_NS > at_ns)
        at_ns = l->last_take_ns + POOL_REST_NS;
    return at_ns > now_ns ? at_ns : 0;
}

uint64_t pool_when_to_warm(uint64_t born_ns, uint64_t last_take_ns, unsigned waiting,
                           uint64_t now_ns)
{
    uint64_t at_ns = (born_ns > last_take_ns ? born_ns : last_take_ns) + POOL_WARM_NS;

    if (waiting > 0)
        return UINT64_MAX;
    return at_ns > now_ns ? at_ns : 0;
}

static bool is_aged(uint64_t born_ns, uint64_t now_ns, uint64_t age_ns)
{
    return now_ns > born_ns && now_ns - born_ns >= age_ns;
}

bool pool_is_due(uint64_t born_ns, uint64_t now_ns)
{
    return is_aged(born_ns, now_ns, POOL_REPLACE_NS);
}

bool pool_is_old(uint64_t born_ns, uint64_t now_ns)
{
    /* Whoever gets it needs a moment to give it its own deadline. */
    return is_aged(born_ns, now_ns, (POOL_LIFE_NS + POOL_REPLACE_NS) / 2);
}

uint64_t pool_backoff(unsigned n)
{
    uint64_t ns = n <= 5 ? POOL_RETRY_NS << (n > 0 ? n - 1 : 0) : POOL_RETRY_MAX_NS;
    return ns < POOL_RETRY_MAX_NS ? ns : POOL_RETRY_MAX_NS;
}
