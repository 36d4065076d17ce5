/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "codec/url.h"

static void target_splits_at_the_first_question_mark(void **state)
{
    (void)state;
    struct str path, query;

    url_split_target(STR("/a/b?x=y?z"), &path, &query);
    assert_true(str_eq(path, STR("/a/b")));
    assert_true(str_eq(query, STR("x=y?z")));
    url_split_target(STR("/a"), &path, &query);
    assert_true(str_eq(path, STR("/a")));
    assert_int_equal(query.n, 0);
}

static void decoding_undoes_encoding_for_every_byte_but_nul(void **state)
{
    (void)state;
    char in[255];
    AUTO_BUF struct buf coded = BUF_INIT(1000);
    AUTO_BUF struct buf back = BUF_INIT(1000);

    for (size_t i = 0; i < sizeof in; i++)
        in[i] = (char)(i + 1);
    url_encode((struct str){ in, sizeof in }, &coded);
    assert_int_equal(url_decode(buf_str(&coded), true, &back), 0);
    assert_true(str_eq(buf_str(&back), (struct str){ in, sizeof in }));
    buf_clear(&coded);
    url_encode(STR("aZ09-._~ /?\xc3"), &coded);
    assert_string_equal(buf_cstr(&coded), "aZ09-._~%20%2F%3F%C3");
}

static void plus_is_a_blank_in_forms_only(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(10);

    assert_int_equal(url_decode(STR("a+%2b"), true, &b), 0);
    assert_int_equal(url_decode(STR("a+%2B"), false, &b), 0);
    assert_string_equal(buf_cstr(&b), "a +a++");
}

static void bad_escapes_are_refused_and_nothing_is_appended(void **state)
{
    (void)state;
    static const char *const bad[] = { "a%",    "a%4",   "a%g1", "a%1g",
                                       "a%00b", "a%%41", "a%-1", "a% 1" };
    AUTO_BUF struct buf b = BUF_INIT(100);

    buf_add_cstr(&b, "before");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(url_decode(str_from(bad[i]), false, &b), -EINVAL);
        assert_string_equal(buf_cstr(&b), "before");
    }
}

static void decoding_happens_once(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(100);

    assert_int_equal(url_decode(STR("%2541"), false, &b), 0);
    assert_string_equal(buf_cstr(&b), "%41");
}

static void segments_come_encoded_and_empty_ones_too(void **state)
{
    (void)state;
    struct str rest = STR("/a/b%2Fc//"), s = { NULL, 0 };

    assert_true(url_next_segment(&rest, &s));
    assert_true(str_eq(s, STR("a")));
    assert_true(url_next_segment(&rest, &s));
    assert_true(str_eq(s, STR("b%2Fc")));
    assert_true(url_next_segment(&rest, &s));
    assert_int_equal(s.n, 0);
    assert_true(url_next_segment(&rest, &s));
    assert_int_equal(s.n, 0);
    assert_false(url_next_segment(&rest, &s));
    rest = STR("a/b");
    assert_false(url_next_segment(&rest, &s));
}

static void pairs_come_encoded_and_empty_ones_not_at_all(void **state)
{
    (void)state;
    struct str rest = STR("&a=b=c&&k&=v&"), k, v;

    assert_true(url_next_pair(&rest, &k, &v));
    assert_true(str_eq(k, STR("a")));
    assert_true(str_eq(v, STR("b=c")));
    assert_true(url_next_pair(&rest, &k, &v));
    assert_true(str_eq(k, STR("k")));
    assert_int_equal(v.n, 0);
    assert_true(url_next_pair(&rest, &k, &v));
    assert_int_equal(k.n, 0);
    assert_true(str_eq(v, STR("v")));
    assert_false(url_next_pair(&rest, &k, &v));
}

static void query_get_compares_decoded_keys_and_takes_the_first(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(100);

    assert_int_equal(url_query_get(STR("x=1&p%61th=%2Fhome+a&path=2"), "path", &b), 0);
    assert_string_equal(buf_cstr(&b), "/home a");
    buf_clear(&b);
    assert_int_equal(url_query_get(STR("pat=1&pathx=2"), "path", &b), -ENOENT);
    assert_int_equal(url_query_get(STR(""), "path", &b), -ENOENT);
    assert_int_equal(url_query_get(STR("path=%"), "path", &b), -EINVAL);
    assert_int_equal(url_query_get(STR("%=&path=1"), "path", &b), -EINVAL);
    assert_int_equal(b.n, 0);
    assert_int_equal(url_query_get(STR("path"), "path", &b), 0);
    assert_int_equal(b.n, 0);
}

static void key_longer_than_any_we_ask_for_is_passed_over(void **state)
{
    (void)state;
    AUTO_BUF struct buf q = BUF_INIT(1000);
    AUTO_BUF struct buf b = BUF_INIT(100);

    buf_addf(&q, "%0300d=1&a=2", 0);
    assert_int_equal(url_query_get(buf_str(&q), "a", &b), 0);
    assert_string_equal(buf_cstr(&b), "2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(target_splits_at_the_first_question_mark),
        cmocka_unit_test(decoding_undoes_encoding_for_every_byte_but_nul),
        cmocka_unit_test(plus_is_a_blank_in_forms_only),
        cmocka_unit_test(bad_escapes_are_refused_and_nothing_is_appended),
        cmocka_unit_test(decoding_happens_once),
        cmocka_unit_test(segments_come_encoded_and_empty_ones_too),
        cmocka_unit_test(pairs_come_encoded_and_empty_ones_not_at_all),
        cmocka_unit_test(query_get_compares_decoded_keys_and_takes_the_first),
        cmocka_unit_test(key_longer_than_any_we_ask_for_is_passed_over),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
