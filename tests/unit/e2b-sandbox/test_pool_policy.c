/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "e2b-sandbox/pool_policy.h"

#define S UINT64_C(1000000000)

static struct pool_demand after(unsigned n, uint64_t now_ns)
{
    struct pool_demand d = { 0 };

    for (unsigned i = 0; i < n; i++)
        pool_demand_note(&d, now_ns);
    return d;
}

static void nothing_is_held_of_what_nobody_asked_for(void **state)
{
    (void)state;
    const struct pool_demand none = { 0 };
    assert_int_equal(pool_want(&none, 0, 16), 0);
    assert_int_equal(pool_want(&none, 1000 * S, 16), 0);
}

static void one_creation_holds_the_least_for_ten_minutes(void **state)
{
    (void)state;
    const struct pool_demand d = after(1, 5 * S);
    assert_int_equal(pool_want(&d, 5 * S, 16), POOL_MIN);
    assert_int_equal(pool_want(&d, 5 * S + POOL_FORGET_NS - 1, 16), POOL_MIN);
    assert_int_equal(pool_want(&d, 5 * S + POOL_FORGET_NS, 16), 0);
    assert_int_equal(pool_want(&d, 5 * S, 1), 1);
    assert_int_equal(pool_want(&d, 5 * S, 0), 0);
}

static void a_burst_is_held_and_halves(void **state)
{
    (void)state;
    const struct pool_demand d = after(12, S);
    assert_int_equal(pool_want(&d, S, 16), 12);
    assert_int_equal(pool_want(&d, S, 8), 8);
    assert_int_equal(pool_want(&d, S + POOL_HALF_NS, 16), 6);
    assert_int_equal(pool_want(&d, S + 2 * POOL_HALF_NS, 16), 3);
    assert_int_equal(pool_want(&d, S + 5 * POOL_HALF_NS, 16), POOL_MIN);
}

static void demand_never_grows_by_waiting_and_has_no_steps(void **state)
{
    (void)state;
    const struct pool_demand d = after(100, S);
    uint64_t before = pool_demand_weight(&d, S);
    for (uint64_t t = S; t < S + 40 * POOL_HALF_NS; t += POOL_HALF_NS / 100) {
        uint64_t w = pool_demand_weight(&d, t);
        assert_true(w <= before);
        assert_true(before - w <= before / 90 + 2);
        before = w;
    }
    assert_int_equal(pool_demand_weight(&d, UINT64_MAX), 0);
    /* A clock that is read out of order changes nothing. */
    assert_int_equal(pool_demand_weight(&d, 0), pool_demand_weight(&d, S));
}

static void demand_is_bounded(void **state)
{
    (void)state;
    const struct pool_demand d = after(200000, S);
    assert_int_equal(pool_want(&d, S, 256), 256);
    assert_int_equal(pool_want(&d, S + 40 * POOL_HALF_NS, 256), POOL_MIN);
}

static void places_are_divided_evenly_and_only_as_far_as_wanted(void **state)
{
    (void)state;
    const struct {
        unsigned want[4], max, share[4];
    } c[] = {
        { { 2, 2, 2, 2 }, 16, { 2, 2, 2, 2 } }, { { 9, 2, 0, 9 }, 12, { 5, 2, 0, 5 } },
        { { 9, 9, 9, 9 }, 6, { 2, 2, 1, 1 } },  { { 0, 0, 0, 0 }, 6, { 0, 0, 0, 0 } },
        { { 5, 5, 5, 5 }, 0, { 0, 0, 0, 0 } },  { { 1, 50, 1, 1 }, 16, { 1, 13, 1, 1 } },
    };

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        unsigned share[4];
        pool_share(c[i].want, 4, c[i].max, share);
        assert_memory_equal(share, c[i].share, sizeof share);
    }
}

static void memory_bounds_the_number(void **state)
{
    (void)state;
    assert_int_equal(pool_limit(16, 64 << 20, 2 << 20), 16);
    assert_int_equal(pool_limit(16, 5 << 20, 2 << 20), 2);
    assert_int_equal(pool_limit(16, 1 << 20, 2 << 20), 0);
    assert_int_equal(pool_limit(0, UINT64_MAX, 2 << 20), 0);
}

static void one_is_made_only_when_nothing_speaks_against_it(void **state)
{
    (void)state;
    const uint64_t now = 100 * S;
    const struct pool_look lacks = { .have = 3, .share = 4, .taken_places = 10, .places = 64 };
    struct pool_look l = lacks;

    assert_int_equal(pool_when_to_make(&l, now), 0);
    l.have = 4;
    assert_true(pool_when_to_make(&l, now) == UINT64_MAX);
    l = lacks;
    l.taken_places = 64; /* the last place is a client's */
    assert_true(pool_when_to_make(&l, now) == UINT64_MAX);
    l = lacks;
    l.waiting = 1; /* a request is starting one: after it */
    assert_true(pool_when_to_make(&l, now) == UINT64_MAX);
    l = lacks;
    l.not_before_ns = now + 1;
    assert_true(pool_when_to_make(&l, now) == now + 1);
}

static void who_has_just_taken_one_has_the_machine_to_himself_unless_we_run_dry(void **state)
{
    (void)state;
    const uint64_t now = 100 * S;
    struct pool_look l = {
        .have = 3, .share = 4, .places = 64, .last_take_ns = now - POOL_REST_NS + 1
    };

    assert_true(pool_when_to_make(&l, now) == now + 1);
    assert_int_equal(pool_when_to_make(&l, now + 1), 0);
    l.have = 2; /* half */
    assert_int_equal(pool_when_to_make(&l, now), 0);
}

static void an_interpreter_is_started_when_it_is_quiet(void **state)
{
    (void)state;
    assert_true(pool_when_to_warm(5 * S, 0, 0, 5 * S) == 5 * S + POOL_WARM_NS);
    assert_int_equal(pool_when_to_warm(5 * S, 0, 0, 5 * S + POOL_WARM_NS), 0);
    assert_true(pool_when_to_warm(5 * S, 9 * S, 0, 9 * S + 1) == 9 * S + POOL_WARM_NS);
    assert_true(pool_when_to_warm(5 * S, 0, 1, 100 * S) == UINT64_MAX);
}

static void an_entry_is_replaced_before_it_is_too_old_and_too_old_before_it_ends(void **state)
{
    (void)state;
    assert_false(pool_is_due(S, S + POOL_REPLACE_NS - 1));
    assert_true(pool_is_due(S, S + POOL_REPLACE_NS));
    assert_false(pool_is_old(S, S + POOL_REPLACE_NS));
    assert_true(pool_is_old(S, S + POOL_LIFE_NS - 30 * S));
    assert_false(pool_is_old(5 * S, S));
}

static void failures_are_tried_again_more_and_more_seldom(void **state)
{
    (void)state;
    assert_int_equal(pool_backoff(1), S);
    assert_int_equal(pool_backoff(2), 2 * S);
    assert_int_equal(pool_backoff(5), 16 * S);
    assert_int_equal(pool_backoff(6), 30 * S);
    assert_int_equal(pool_backoff(4000000000u), 30 * S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_held_of_what_nobody_asked_for),
        cmocka_unit_test(one_creation_holds_the_least_for_ten_minutes),
        cmocka_unit_test(a_burst_is_held_and_halves),
        cmocka_unit_test(demand_never_grows_by_waiting_and_has_no_steps),
        cmocka_unit_test(demand_is_bounded),
        cmocka_unit_test(places_are_divided_evenly_and_only_as_far_as_wanted),
        cmocka_unit_test(memory_bounds_the_number),
        cmocka_unit_test(one_is_made_only_when_nothing_speaks_against_it),
        cmocka_unit_test(who_has_just_taken_one_has_the_machine_to_himself_unless_we_run_dry),
        cmocka_unit_test(an_interpreter_is_started_when_it_is_quiet),
        cmocka_unit_test(an_entry_is_replaced_before_it_is_too_old_and_too_old_before_it_ends),
        cmocka_unit_test(failures_are_tried_again_more_and_more_seldom),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
