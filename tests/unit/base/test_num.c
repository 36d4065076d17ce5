/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/num.h"

static void decimal_digits_are_a_number(void **state)
{
    (void)state;
    uint64_t v = 0;

    assert_int_equal(num_parse_u64(STR("0"), 0, UINT64_MAX, &v), 0);
    assert_true(v == 0);
    assert_int_equal(num_parse_u64(STR("18446744073709551615"), 0, UINT64_MAX, &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(num_parse_u64(STR("007"), 0, 10, &v), 0);
    assert_true(v == 7);
}

static void nothing_else_is_a_number_and_the_output_stays(void **state)
{
    (void)state;
    static const char *const bad[] = { "",    "+1",  "-1",  " 1",  "1 ",       "0x1", "1a",
                                       "1.0", "1,0", "1e3", "\t1", "\xd9\xa1", "-" };
    uint64_t v = 42;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(num_parse_u64(str_from(bad[i]), 0, UINT64_MAX, &v), -EINVAL);
    assert_int_equal(num_parse_u64(STR("1\0"), 0, UINT64_MAX, &v), -EINVAL);
    assert_true(v == 42);
}

static void overflow_is_out_of_range_and_never_wraps(void **state)
{
    (void)state;
    uint64_t v = 42;

    assert_int_equal(num_parse_u64(STR("18446744073709551616"), 0, UINT64_MAX, &v), -ERANGE);
    assert_int_equal(num_parse_u64(STR("36893488147419103233"), 0, UINT64_MAX, &v), -ERANGE);
    assert_int_equal(num_parse_u64(STR("99999999999999999999999"), 0, UINT64_MAX, &v), -ERANGE);
    assert_int_equal(num_parse_u64(STR("99999999999999999999999x"), 0, UINT64_MAX, &v),
                     -EINVAL);
    assert_true(v == 42);
}

static void both_bounds_belong_to_the_range(void **state)
{
    (void)state;
    uint64_t v = 42;

    assert_int_equal(num_parse_u64(STR("4"), 5, 7, &v), -ERANGE);
    assert_int_equal(num_parse_u64(STR("8"), 5, 7, &v), -ERANGE);
    assert_true(v == 42);
    assert_int_equal(num_parse_u64(STR("5"), 5, 7, &v), 0);
    assert_int_equal(num_parse_u64(STR("7"), 5, 7, &v), 0);
    assert_true(v == 7);
}

static void signed_numbers_reach_both_ends_of_their_type(void **state)
{
    (void)state;
    int64_t v = 42;

    assert_int_equal(num_parse_i64(STR("-9223372036854775808"), INT64_MIN, INT64_MAX, &v), 0);
    assert_true(v == INT64_MIN);
    assert_int_equal(num_parse_i64(STR("9223372036854775807"), INT64_MIN, INT64_MAX, &v), 0);
    assert_true(v == INT64_MAX);
    assert_int_equal(num_parse_i64(STR("9223372036854775808"), INT64_MIN, INT64_MAX, &v),
                     -ERANGE);
    assert_int_equal(num_parse_i64(STR("-9223372036854775809"), INT64_MIN, INT64_MAX, &v),
                     -ERANGE);
    assert_int_equal(num_parse_i64(STR("--1"), INT64_MIN, INT64_MAX, &v), -EINVAL);
    assert_int_equal(num_parse_i64(STR("-"), INT64_MIN, INT64_MAX, &v), -EINVAL);
    assert_int_equal(num_parse_i64(STR("+1"), INT64_MIN, INT64_MAX, &v), -EINVAL);
    assert_int_equal(num_parse_i64(STR("-6"), -5, 5, &v), -ERANGE);
    assert_true(v == INT64_MAX);
    assert_int_equal(num_parse_i64(STR("-5"), -5, 5, &v), 0);
    assert_true(v == -5);
}

static void hexadecimal_takes_both_cases_and_no_prefix(void **state)
{
    (void)state;
    uint64_t v = 42;

    assert_int_equal(num_parse_hex_u64(STR("0x1"), UINT64_MAX, &v), -EINVAL);
    assert_int_equal(num_parse_hex_u64(STR("g"), UINT64_MAX, &v), -EINVAL);
    assert_int_equal(num_parse_hex_u64(STR(""), UINT64_MAX, &v), -EINVAL);
    assert_int_equal(num_parse_hex_u64(STR("10000000000000000"), UINT64_MAX, &v), -ERANGE);
    assert_int_equal(num_parse_hex_u64(STR("100"), 0xff, &v), -ERANGE);
    assert_true(v == 42);
    assert_int_equal(num_parse_hex_u64(STR("fFfFffffFFFFffff"), UINT64_MAX, &v), 0);
    assert_true(v == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimal_digits_are_a_number),
        cmocka_unit_test(nothing_else_is_a_number_and_the_output_stays),
        cmocka_unit_test(overflow_is_out_of_range_and_never_wraps),
        cmocka_unit_test(both_bounds_belong_to_the_range),
        cmocka_unit_test(signed_numbers_reach_both_ends_of_their_type),
        cmocka_unit_test(hexadecimal_takes_both_cases_and_no_prefix),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
