/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "loop.h"

static void a_pin_is_of_one_name_and_address_and_ends(void **state)
{
    struct box b = { .used = true };

    (void)state;
    assert_true(box_add_pin(&b, "a.example", 1, 100, 0));
    assert_true(box_add_pin(&b, "b.example", 2, 100, 0));
    assert_non_null(box_pin(&b, "a.example", 1, 99));
    assert_null(box_pin(&b, "a.example", 1, 100));
    assert_null(box_pin(&b, "a.example", 2, 0));
    assert_null(box_pin(&b, "b.example", 1, 0));
    assert_true(box_has_pin_to(&b, 2, 99));
    assert_false(box_has_pin_to(&b, 2, 100));
    assert_true(box_add_pin(&b, "a.example", 1, 200, 50)); /* prolonged, not doubled */
    assert_int_equal(b.n_pins, 2);
    assert_non_null(box_pin(&b, "a.example", 1, 150));
    assert_true(box_add_pin(&b, "a.example", 1, 120, 50)); /* never shortened */
    assert_non_null(box_pin(&b, "a.example", 1, 150));
    static struct netd d;
    box_free(&d, &b);
}

static void pins_are_bounded_and_old_ones_make_room(void **state)
{
    struct box b = { .used = true };
    static struct netd d;

    (void)state;
    for (uint32_t i = 0; i < PINS_MAX; i++)
        assert_true(box_add_pin(&b, "a.example", i, i < 10 ? 50 : 100, 0));
    assert_false(box_add_pin(&b, "a.example", PINS_MAX, 100, 0));
    assert_true(box_add_pin(&b, "a.example", PINS_MAX, 100, 50));
    assert_int_equal(b.n_pins, PINS_MAX - 9);
    box_free(&d, &b);
}

static void a_box_is_found_by_its_own_address_only(void **state)
{
    static struct netd d = { .gateway = 0xc6120001 };

    (void)state;
    d.box[0].used = true;
    d.box[511].used = true;
    assert_ptr_equal(box_by_addr(&d, 0xc6120002), &d.box[0]);
    assert_ptr_equal(box_by_addr(&d, 0xc6120001 + 512), &d.box[511]);
    assert_null(box_by_addr(&d, 0xc6120003)); /* unused */
    assert_null(box_by_addr(&d, 0xc6120001)); /* the gateway */
    assert_null(box_by_addr(&d, 0xc6120000));
    assert_null(box_by_addr(&d, 0));
    assert_null(box_by_addr(&d, 0xffffffff));
    assert_null(box_by_addr(&d, 0xc6120001 + 513));
}

static void every_reason_has_a_word_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < NETD_WHY_MAX; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(netd_why_text((enum netd_why)i),
                                    netd_why_text((enum netd_why)j));
    assert_string_equal(netd_why_text(NETD_WHY_MAX), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pin_is_of_one_name_and_address_and_ends),
        cmocka_unit_test(pins_are_bounded_and_old_ones_make_room),
        cmocka_unit_test(a_box_is_found_by_its_own_address_only),
        cmocka_unit_test(every_reason_has_a_word_of_its_own),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
