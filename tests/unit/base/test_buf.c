/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"

static void empty_buf_is_an_empty_c_string(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(0);

    assert_string_equal(buf_cstr(&b), "");
    assert_int_equal(buf_str(&b).n, 0);
    buf_add(&b, NULL, 0);
    assert_true(buf_ok(&b));
    assert_string_equal(buf_cstr(&b), "");
}

static void appends_join_and_end_in_an_uncounted_nul(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(200);

    buf_add_cstr(&b, "a=");
    buf_add_u64(&b, UINT64_MAX);
    buf_add_char(&b, ' ');
    buf_add_i64(&b, INT64_MIN);
    buf_add_str(&b, STR("\0x"));
    buf_addf(&b, "%s-%d", "y", 7);
    assert_true(buf_ok(&b));
    assert_true(str_eq(buf_str(&b), STR("a=18446744073709551615 -9223372036854775808\0xy-7")));
    assert_int_equal(buf_cstr(&b)[b.n], 0);
}

static void the_maximum_fits_exactly_and_one_more_is_refused_whole(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(5);

    buf_add_cstr(&b, "12345");
    assert_true(buf_ok(&b));
    assert_int_equal(b.cap, 6); /* and never more memory than the maximum and its NUL */
    buf_add_char(&b, '6');
    assert_false(buf_ok(&b));
    assert_int_equal(b.failed, EMSGSIZE);
    assert_string_equal(buf_cstr(&b), "12345");
}

static void after_a_failure_nothing_is_appended_until_clear(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(3);

    buf_add_cstr(&b, "1234");
    buf_add_cstr(&b, "1"); /* would fit */
    buf_addf(&b, "%d", 1);
    assert_null(buf_reserve(&b, 0));
    assert_int_equal(b.n, 0);
    assert_int_equal(b.failed, EMSGSIZE);
    buf_clear(&b);
    buf_add_cstr(&b, "123");
    assert_true(buf_ok(&b));
    assert_string_equal(buf_cstr(&b), "123");
}

static void size_that_wraps_is_too_big(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(SIZE_MAX);

    buf_add_cstr(&b, "1");
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_int_equal(b.failed, EMSGSIZE);
    buf_clear(&b);
    assert_null(buf_reserve(&b, SIZE_MAX - 1)); /* no wrap, but no memory either */
    assert_int_equal(b.failed, ENOMEM);
}

static void formatted_text_longer_than_any_guess_is_whole(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(4000);

    buf_addf(&b, "%01500d", 7);
    buf_addf(&b, "%0511d%d", 0,
             8); /* 512 characters: the first size that needs the second way */
    assert_true(buf_ok(&b));
    assert_int_equal(b.n, 2012);
    assert_int_equal(b.p[1499], '7');
    assert_string_equal(b.p + 2010, "08");
    buf_addf(&b, "%02000d", 1);
    assert_int_equal(b.failed, EMSGSIZE);
    assert_int_equal(b.n, 2012);
}

static void reserved_room_is_the_callers_to_fill(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(1000);
    char *room = buf_reserve(&b, 1000);

    assert_non_null(room);
    assert_int_equal(b.n, 0);
    assert_string_equal(buf_cstr(&b), "");
    memset(room, 'r', 1000);
    b.n += 1000;
    assert_null(buf_reserve(&b, 1));
}

static void consume_removes_from_the_front_and_truncate_from_the_end(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(10);

    buf_consume(&b, 0);
    buf_truncate(&b, 0);
    buf_add_cstr(&b, "abcdef");
    buf_consume(&b, 2);
    assert_string_equal(buf_cstr(&b), "cdef");
    buf_truncate(&b, 3);
    assert_string_equal(buf_cstr(&b), "cde");
    buf_consume(&b, 3);
    assert_string_equal(buf_cstr(&b), "");
}

static void fini_leaves_an_empty_buf_with_the_same_maximum(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(3);

    buf_add_cstr(&b, "toolong");
    buf_fini(&b);
    assert_null(b.p);
    assert_true(buf_ok(&b));
    assert_int_equal(b.max, 3);
    buf_add_cstr(&b, "abc");
    assert_string_equal(buf_cstr(&b), "abc");
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_buf_is_an_empty_c_string),
        cmocka_unit_test(appends_join_and_end_in_an_uncounted_nul),
        cmocka_unit_test(the_maximum_fits_exactly_and_one_more_is_refused_whole),
        cmocka_unit_test(after_a_failure_nothing_is_appended_until_clear),
        cmocka_unit_test(size_that_wraps_is_too_big),
        cmocka_unit_test(formatted_text_longer_than_any_guess_is_whole),
        cmocka_unit_test(reserved_room_is_the_callers_to_fill),
        cmocka_unit_test(consume_removes_from_the_front_and_truncate_from_the_end),
        cmocka_unit_test(fini_leaves_an_empty_buf_with_the_same_maximum),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
