/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"

#define S(lit) STR(lit)

static void from_null_is_the_empty_str(void **state)
{
    (void)state;
    struct str s = str_from(NULL);

    assert_null(s.p);
    assert_int_equal(s.n, 0);
    assert_int_equal(str_from("abc").n, 3);
}

static void equality_is_of_bytes_and_length(void **state)
{
    (void)state;
    assert_true(str_eq(S("a\0b"), S("a\0b")));
    assert_false(str_eq(S("a\0b"), S("a\0c")));
    assert_false(str_eq(S("ab"), S("abc")));
    assert_false(str_eq(S("ab"), S("AB")));
    assert_true(str_eq(S(""), str_from(NULL)));
}

static void only_ascii_letters_have_a_case(void **state)
{
    (void)state;
    assert_true(str_eq_nocase(S("Content-LENGTH"), S("content-length")));
    assert_false(str_eq_nocase(S("@["), S("`{"))); /* neighbours of A and Z, 0x20 apart */
    assert_false(str_eq_nocase(S("\xc4"), S("\xe4")));
    assert_false(str_eq_nocase(S("a"), S("ab")));
    assert_true(str_eq_nocase(S("aZ"), S("Az")));
}

static void prefix_and_suffix_may_be_empty_or_the_whole(void **state)
{
    (void)state;
    assert_true(str_starts(S("abc"), S("")));
    assert_true(str_starts(S("abc"), S("abc")));
    assert_false(str_starts(S("abc"), S("abcd")));
    assert_false(str_starts(S("abc"), S("b")));
    assert_true(str_ends(S("abc"), S("")));
    assert_true(str_ends(S("abc"), S("abc")));
    assert_true(str_ends(S("abc"), S("bc")));
    assert_false(str_ends(S("abc"), S("zabc")));
    assert_false(str_ends(S("abc"), S("b")));
}

static void sub_never_leaves_its_str(void **state)
{
    (void)state;
    struct str s = S("abcdef");

    assert_true(str_eq(str_sub(s, 2, 3), S("cde")));
    assert_true(str_eq(str_sub(s, 2, SIZE_MAX), S("cdef")));
    assert_int_equal(str_sub(s, 6, 1).n, 0);
    assert_int_equal(str_sub(s, SIZE_MAX, SIZE_MAX).n, 0);
    assert_ptr_equal(str_sub(s, SIZE_MAX, 1).p, s.p + 6);
    assert_int_equal(str_sub(str_from(NULL), 0, 9).n, 0);
}

static void trim_takes_blanks_and_tabs_and_nothing_else(void **state)
{
    (void)state;
    assert_true(str_eq(str_trim(S(" \t a b\t ")), S("a b")));
    assert_true(str_eq(str_trim(S("\n a \r")), S("\n a \r")));
    assert_int_equal(str_trim(S(" \t ")).n, 0);
    assert_int_equal(str_trim(S("")).n, 0);
}

static void find_writes_the_place_only_if_it_is_there(void **state)
{
    (void)state;
    size_t at = 77;

    assert_false(str_find(S("abc"), 'x', &at));
    assert_false(str_find(str_from(NULL), 'x', &at));
    assert_int_equal(at, 77);
    assert_true(str_find(S("abcb"), 'b', &at));
    assert_int_equal(at, 1);
}

static void cut_splits_at_the_first_or_not_at_all(void **state)
{
    (void)state;
    struct str head, tail;

    assert_true(str_cut(S("k=v=w"), '=', &head, &tail));
    assert_true(str_eq(head, S("k")));
    assert_true(str_eq(tail, S("v=w")));
    assert_false(str_cut(S("kv"), '=', &head, &tail));
    assert_true(str_eq(head, S("kv")));
    assert_int_equal(tail.n, 0);
    assert_true(str_cut(S("="), '=', &head, &tail));
    assert_int_equal(head.n + tail.n, 0);
}

static void cut_may_overwrite_its_own_input(void **state)
{
    (void)state;
    struct str item, rest = S("a,b");

    assert_true(str_cut(rest, ',', &item, &rest));
    assert_true(str_eq(item, S("a")));
    assert_true(str_eq(rest, S("b")));
}

static void copy_needs_room_for_the_nul_and_refuses_one_inside(void **state)
{
    (void)state;
    char out[4] = "zzz";

    assert_int_equal(str_copy(S("abcd"), out, sizeof out), -ENAMETOOLONG);
    assert_int_equal(str_copy(S("a\0b"), out, sizeof out), -EINVAL);
    assert_string_equal(out, "zzz");
    assert_int_equal(str_copy(S("abc"), out, sizeof out), 0);
    assert_string_equal(out, "abc");
    assert_int_equal(str_copy(str_from(NULL), out, sizeof out), 0);
    assert_string_equal(out, "");
    assert_int_equal(str_copy(S(""), out, 0), -ENAMETOOLONG);
}

static void secret_equality_agrees_with_equality(void **state)
{
    (void)state;
    assert_true(str_eq_secret(S("token"), S("token")));
    assert_false(str_eq_secret(S("token"), S("tokeN")));
    assert_false(str_eq_secret(S("Token"), S("token")));
    assert_false(str_eq_secret(S("aaaa"), S("aa"))); /* the shorter one repeated is not equal */
    assert_false(str_eq_secret(S("aa"), S("aaaa")));
    assert_false(str_eq_secret(S(""), S("a")));
    assert_false(str_eq_secret(S("a"), S("")));
    assert_false(str_eq_secret(S("\0"), S("")));
    assert_true(str_eq_secret(S(""), str_from(NULL)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_null_is_the_empty_str),
        cmocka_unit_test(equality_is_of_bytes_and_length),
        cmocka_unit_test(only_ascii_letters_have_a_case),
        cmocka_unit_test(prefix_and_suffix_may_be_empty_or_the_whole),
        cmocka_unit_test(sub_never_leaves_its_str),
        cmocka_unit_test(trim_takes_blanks_and_tabs_and_nothing_else),
        cmocka_unit_test(find_writes_the_place_only_if_it_is_there),
        cmocka_unit_test(cut_splits_at_the_first_or_not_at_all),
        cmocka_unit_test(cut_may_overwrite_its_own_input),
        cmocka_unit_test(copy_needs_room_for_the_nul_and_refuses_one_inside),
        cmocka_unit_test(secret_equality_agrees_with_equality),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
