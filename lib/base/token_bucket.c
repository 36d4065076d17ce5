/* SPDX-License-Identifier: Apache-2.0 */
#include "base/token_bucket.h"

#include <errno.h>

#include "base/ckd.h"

#define NS_PER_S UINT64_C(1000000000)

int token_bucket_init(struct token_bucket *tb, uint64_t capacity, uint64_t per_second,
                      uint64_t now_ns)
{
    if (capacity == 0 || per_second == 0)
        return -EINVAL;
    *tb = (struct token_bucket){ capacity, per_second, capacity, 0, now_ns };
    return 0;
}

static void refill(struct token_bucket *tb, uint64_t now_ns)
{
    uint64_t earned; /* billionths of a unit; overflow can only mean "idle for ages": full */

    if (now_ns < tb->last_ns)
        return; /* a clock that steps back earns nothing */
    bool full = ckd_mul(&earned, now_ns - tb->last_ns, tb->per_second) ||
                ckd_add(&earned, earned, tb->carry) ||
                earned / NS_PER_S >= tb->capacity - tb->tokens;
    tb->tokens = full ? tb->capacity : tb->tokens + earned / NS_PER_S;
    tb->carry = full ? 0 : earned % NS_PER_S; /* dropped, slow rates would starve */
    tb->last_ns = now_ns;
}

bool token_bucket_take(struct token_bucket *tb, uint64_t n, uint64_t now_ns)
{
    refill(tb, now_ns);
    if (n > tb->tokens)
        return false;
    tb->tokens -= n;
    return true;
}
