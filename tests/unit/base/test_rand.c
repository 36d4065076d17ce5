/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"

static void every_letter_of_an_id_occurs_and_no_other_character(void **state)
{
    (void)state;
    char id[4097];
    bool seen[256] = { false };

    rand_id(id, sizeof id - 1);
    assert_int_equal(strlen(id), sizeof id - 1);
    for (size_t i = 0; i < sizeof id - 1; i++)
        seen[(unsigned char)id[i]] = true;
    for (size_t c = 0; c < 256; c++)
        assert_int_equal(seen[c], (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'));
}

static void hex_is_two_lower_case_digits_a_byte(void **state)
{
    (void)state;
    char hex[129];

    rand_hex(hex, 64);
    assert_int_equal(strlen(hex), 128);
    assert_int_equal(strspn(hex, "0123456789abcdef"), 128);
    rand_hex(hex, 0);
    assert_string_equal(hex, "");
}

static void nothing_outside_the_range_is_written(void **state)
{
    (void)state;
    unsigned char b[1024];

    memset(b, 0, sizeof b);
    rand_bytes(b + 1, 1000);
    rand_bytes(b, 0);
    assert_int_equal(b[0], 0);
    assert_int_equal(b[1001], 0);
}

static void two_draws_differ(void **state)
{
    (void)state;
    char a[33], b[33];

    rand_id(a, 32);
    rand_id(b, 32);
    assert_string_not_equal(a, b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_letter_of_an_id_occurs_and_no_other_character),
        cmocka_unit_test(hex_is_two_lower_case_digits_a_byte),
        cmocka_unit_test(nothing_outside_the_range_is_written),
        cmocka_unit_test(two_draws_differ),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
