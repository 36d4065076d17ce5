/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

static void set_says_what_failed_and_why_and_returns_the_negative_code(void **state)
{
    (void)state;
    struct err e = { 0 };

    assert_int_equal(err_set(&e, ENOENT, "open '%s'", "a"), -ENOENT);
    assert_int_equal(e.code, ENOENT);
    assert_string_equal(e.text, "open 'a': No such file or directory");
}

static void say_adds_nothing_to_the_text(void **state)
{
    (void)state;
    struct err e = { 0 };

    assert_int_equal(err_say(&e, EINVAL, "%d is odd", 3), -EINVAL);
    assert_int_equal(e.code, EINVAL);
    assert_string_equal(e.text, "3 is odd");
}

static void wrap_puts_context_in_front_and_keeps_the_code(void **state)
{
    (void)state;
    struct err e = { 0 };

    (void)err_say(&e, EPERM, "inner");
    assert_int_equal(err_wrap(&e, "start sandbox %u", 7u), -EPERM);
    assert_int_equal(e.code, EPERM);
    assert_string_equal(e.text, "start sandbox 7: inner");
}

static void long_text_is_cut_but_the_reason_of_set_is_not(void **state)
{
    (void)state;
    struct err e = { 0 };
    char name[400];

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = 0;
    (void)err_set(&e, ENOENT, "open '%s'", name);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    assert_memory_equal(e.text, "open 'nnn", 9);
    assert_string_equal(e.text + sizeof e.text - 1 - strlen("nnn: No such file or directory"),
                        "nnn: No such file or directory");
    (void)err_say(&e, ENOENT, "%s", name);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
    (void)err_wrap(&e, "%s", name);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_says_what_failed_and_why_and_returns_the_negative_code),
        cmocka_unit_test(say_adds_nothing_to_the_text),
        cmocka_unit_test(wrap_puts_context_in_front_and_keeps_the_code),
        cmocka_unit_test(long_text_is_cut_but_the_reason_of_set_is_not),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
