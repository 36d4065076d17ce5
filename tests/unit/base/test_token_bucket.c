/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/token_bucket.h"

#define ADMITS(n, at_ns)  assert_true(token_bucket_take(&tb, n, at_ns))
#define REFUSES(n, at_ns) assert_false(token_bucket_take(&tb, n, at_ns))

static struct token_bucket tb; /* ten units, four per second, drained at time 0 */

static int setup(void **state)
{
    (void)state;
    assert_int_equal(token_bucket_init(&tb, 0, 4, 0), -EINVAL);
    assert_int_equal(token_bucket_init(&tb, 10, 0, 0), -EINVAL);
    assert_int_equal(token_bucket_init(&tb, 10, 4, 0), 0);
    REFUSES(11, 0); /* all or nothing: too many takes none ... */
    ADMITS(10, 0);  /* ... so all ten are still here */
    return 0;
}

static void unit_arrives_on_the_nanosecond_whatever_we_asked_before(void **state)
{
    (void)state;
    REFUSES(1, 249999999);
    REFUSES(1, 0); /* a clock stepping back earns nothing and costs nothing */
    ADMITS(1, 250000000);
    REFUSES(1, 499999999);
    ADMITS(1, 1000000000); /* leaves two, which the next unit joins */
    ADMITS(3, 1250000000);
}

static void full_is_exactly_capacity_with_no_fraction_saved(void **state)
{
    (void)state;
    ADMITS(10, 2749999999); /* 10.99 units earned, 10 kept ... */
    REFUSES(1, 2999999998); /* ... so the eleventh is a whole 250 ms away */
    ADMITS(5, 3600249999999);
    REFUSES(11, 3602249999999); /* five kept and eight earned make ten */
    ADMITS(10, 3602249999999);
    REFUSES(1, 3602499999998);
}

static void overflow_means_full_and_never_wraps(void **state)
{
    (void)state;
    REFUSES(1, 1);                 /* leaves 4 billionths over, so that next ... */
    ADMITS(10, UINT64_C(1) << 62); /* ... the product fits 64 bits but the sum is 2^64 */
    ADMITS(10, UINT64_C(1) << 63); /* and here the product is 2^64 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(unit_arrives_on_the_nanosecond_whatever_we_asked_before, setup),
        cmocka_unit_test_setup(full_is_exactly_capacity_with_no_fraction_saved, setup),
        cmocka_unit_test_setup(overflow_means_full_and_never_wraps, setup),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
