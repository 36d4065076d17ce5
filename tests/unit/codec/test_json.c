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
#include "codec/json.h"

static json_t *parse(const char *text)
{
    struct err e = { 0 };
    json_t *j = json_parse(str_from(text), &e);

    assert_non_null(j);
    assert_int_equal(e.code, 0);
    return j;
}

static void documents_of_every_type_are_parsed(void **state)
{
    (void)state;
    static const char *const good[] = { "{}",
                                        " [1, 2.5, -0, true, false, null, \"\\u00e4\\n\"] \n",
                                        "1", "\"x\"", "null" };

    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        AUTO_JSON json_t *j = parse(good[i]);
        (void)j;
    }
}

static void what_is_not_one_strict_document_is_refused_with_the_place(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "{}}",
        "{} x",
        "{'a':1}",
        "{\"a\":1,}",
        "{\"a\":1,\"a\":2}",
        "[1,]",
        "NaN",
        "Infinity",
        "01",
        "+1",
        "\"\\x\"",
        "\"\\u0000\"",
        "{\"\\u0000\":1}",
        "\"\n\"",
        "tru",
        "/**/1",
        "\"\xff\"",
        "\"\xc0\x80\"",
        "\"\xed\xa0\x80\"",
        "99999999999999999999",
        "1e999",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = { 0 };
        assert_null(json_parse(str_from(bad[i]), &e));
        assert_int_equal(e.code, EINVAL);
        assert_memory_equal(e.text, "not valid JSON: line ", 21);
    }
    struct err e = { 0 };
    assert_null(json_parse(STR("{}\0"), &e));
    assert_null(json_parse((struct str){ NULL, 0 }, &e));
}

static void depth_is_limited_exactly_and_brackets_in_strings_do_not_count(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(10000);
    struct err e = { 0 };

    buf_addf(&b, "%.*s\"", (int)JSON_DEPTH_MAX,
             "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[");
    buf_add_cstr(&b, "[[{\\\"[[\\\\\"");
    buf_addf(&b, "%.*s", (int)JSON_DEPTH_MAX,
             "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]");
    AUTO_JSON json_t *deep_enough = parse(buf_cstr(&b));
    assert_non_null(deep_enough);
    AUTO_BUF struct buf deeper = BUF_INIT(10000);
    buf_addf(&deeper, "[%s]", buf_cstr(&b));
    assert_null(json_parse(buf_str(&deeper), &e));
    assert_string_equal(e.text, "JSON is nested deeper than 64 levels");
    buf_clear(&deeper);
    for (size_t i = 0; i < 9000; i++)
        buf_add_char(&deeper, '[');
    assert_null(json_parse(buf_str(&deeper), &e));
    assert_string_equal(e.text, "JSON is nested deeper than 64 levels");
}

static void siblings_are_not_depth(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(10000);

    buf_add_char(&b, '[');
    for (size_t i = 0; i < 1000; i++)
        buf_add_cstr(&b, "{},[],");
    buf_add_cstr(&b, "0]");
    AUTO_JSON json_t *j = parse(buf_cstr(&b));
    assert_int_equal(json_array_size(j), 2001);
}

static void absent_and_null_fields_are_zero_and_leave_the_output(void **state)
{
    (void)state;
    AUTO_JSON json_t *j = parse("{\"n\":null}");
    struct err e = { 0 };
    const char *s = "untouched";
    int64_t i = 7;
    bool b = true;
    json_t *o = NULL;

    static const char *const field[] = { "n", "absent" };
    for (size_t k = 0; k < ARRAY_LEN(field); k++) {
        assert_int_equal(json_get_str(j, field[k], 9, &s, &e), 0);
        assert_int_equal(json_get_i64(j, field[k], 0, 9, &i, &e), 0);
        assert_int_equal(json_get_bool(j, field[k], &b, &e), 0);
        assert_int_equal(json_get_obj(j, field[k], &o, &e), 0);
        assert_int_equal(json_get_array(j, field[k], &o, &e), 0);
        assert_int_equal(json_get_str_map(j, field[k], 9, 9, &o, &e), 0);
    }
    assert_string_equal(s, "untouched");
    assert_true(i == 7 && b && !o);
    assert_int_equal(e.code, 0);
}

static void fields_of_the_right_type_are_given(void **state)
{
    (void)state;
    AUTO_JSON json_t *j =
        parse("{\"s\":\"abc\",\"i\":-5,\"t\":true,\"f\":false,\"o\":{\"k\":\"v\"},\"a\":[1]}");
    struct err e = { 0 };
    const char *s = NULL;
    int64_t i = 0;
    bool b = false;
    json_t *o = NULL;

    assert_int_equal(json_get_str(j, "s", 3, &s, &e), 1);
    assert_string_equal(s, "abc");
    assert_int_equal(json_get_i64(j, "i", -5, -5, &i, &e), 1);
    assert_true(i == -5);
    assert_int_equal(json_get_bool(j, "t", &b, &e), 1);
    assert_true(b);
    assert_int_equal(json_get_bool(j, "f", &b, &e), 1);
    assert_false(b);
    assert_int_equal(json_get_obj(j, "o", &o, &e), 1);
    assert_int_equal(json_object_size(o), 1);
    assert_int_equal(json_get_array(j, "a", &o, &e), 1);
    assert_int_equal(json_array_size(o), 1);
    assert_int_equal(json_get_str_map(j, "o", 1, 1, &o, &e), 1);
    assert_string_equal(json_string_value(json_object_get(o, "k")), "v");
}

static void refusals_name_the_field_the_want_and_what_came(void **state)
{
    (void)state;
    AUTO_JSON json_t *j =
        parse("{\"s\":\"abcd\",\"i\":10,\"r\":1.0,\"t\":true,\"o\":{\"k\":1},\"a\":[],"
              "\"m\":{\"kk\":\"v\"},\"v\":{\"k\":\"vv\"},\"two\":{\"a\":\"\",\"b\":\"\"}}");
    struct err e = { 0 };
    const char *s = NULL;
    int64_t i = 7;
    bool b = false;
    json_t *o = NULL;

    assert_int_equal(json_get_i64(j, "s", 0, 9, &i, &e), -EINVAL);
    assert_string_equal(e.text, "field 's' must be an integer between 0 and 9, got a string");
    assert_int_equal(json_get_i64(j, "i", 0, 9, &i, &e), -EINVAL);
    assert_string_equal(e.text, "field 'i' must be an integer between 0 and 9, got 10");
    assert_int_equal(json_get_i64(j, "i", 11, 12, &i, &e), -EINVAL);
    assert_int_equal(json_get_i64(j, "r", 0, 9, &i, &e), -EINVAL);
    assert_string_equal(e.text, "field 'r' must be an integer between 0 and 9, got a fraction");
    assert_int_equal(json_get_str(j, "t", 9, &s, &e), -EINVAL);
    assert_string_equal(e.text, "field 't' must be a string, got a boolean");
    assert_int_equal(json_get_str(j, "s", 3, &s, &e), -EINVAL);
    assert_string_equal(e.text, "field 's' must be at most 3 bytes long");
    assert_int_equal(json_get_bool(j, "i", &b, &e), -EINVAL);
    assert_string_equal(e.text, "field 'i' must be true or false, got an integer");
    assert_int_equal(json_get_obj(j, "a", &o, &e), -EINVAL);
    assert_string_equal(e.text, "field 'a' must be an object, got an array");
    assert_int_equal(json_get_array(j, "o", &o, &e), -EINVAL);
    assert_string_equal(e.text, "field 'o' must be an array, got an object");
    assert_int_equal(json_get_str_map(j, "o", 9, 9, &o, &e), -EINVAL);
    assert_string_equal(e.text, "field 'o': the value of 'k' must be a string, got an integer");
    assert_int_equal(json_get_str_map(j, "m", 9, 1, &o, &e), -EINVAL);
    assert_int_equal(json_get_str_map(j, "v", 9, 1, &o, &e), -EINVAL);
    assert_string_equal(e.text, "field 'v': 'k' and its value must be at most 1 bytes long");
    assert_int_equal(json_get_str_map(j, "two", 1, 9, &o, &e), -EINVAL);
    assert_string_equal(e.text, "field 'two' must have at most 1 entries");
    assert_int_equal(json_get_str_map(j, "a", 1, 9, &o, &e), -EINVAL);
    assert_true(i == 7 && !s && !b && !o);
}

static void strings_are_escaped_and_bad_utf8_is_replaced(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(1000);

    json_write_str(&b, STR("a\"\\/\n\x01\x7f\0\xc3\xa4\xf0\x9f\x98\x80"));
    assert_string_equal(buf_cstr(&b),
                        "\"a\\\"\\\\/\\n\\u0001\x7f\\u0000\xc3\xa4\xf0\x9f\x98\x80\"");
    buf_clear(&b);
    /* a lone continuation, overlong forms, a surrogate, beyond U+10FFFF, and one cut at the end */
    json_write_str(&b, STR("\x80|\xc0\x80|\xe0\x9f\xbf|\xed\xa0\x80|\xf4\x90\x80\x80|"
                           "\xf0\x8f\xbf\xbf|\xe2\x82"));
    AUTO_JSON json_t *j = parse(buf_cstr(&b));
#define R "\xef\xbf\xbd"
    assert_string_equal(json_string_value(j),
                        R "|" R R "|" R R R "|" R R R "|" R R R R "|" R R R R "|" R R);
#undef R
}

static void writing_is_compact_and_fails_over_the_limit(void **state)
{
    (void)state;
    AUTO_JSON json_t *j = parse("{ \"a\" : [ 1 , \"x\" ] }");
    AUTO_BUF struct buf b = BUF_INIT(13);
    AUTO_BUF struct buf small = BUF_INIT(12);

    assert_true(json_write(&b, j));
    assert_string_equal(buf_cstr(&b), "{\"a\":[1,\"x\"]}");
    assert_false(json_write(&small, j));
    assert_false(buf_ok(&small));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_of_every_type_are_parsed),
        cmocka_unit_test(what_is_not_one_strict_document_is_refused_with_the_place),
        cmocka_unit_test(depth_is_limited_exactly_and_brackets_in_strings_do_not_count),
        cmocka_unit_test(siblings_are_not_depth),
        cmocka_unit_test(absent_and_null_fields_are_zero_and_leave_the_output),
        cmocka_unit_test(fields_of_the_right_type_are_given),
        cmocka_unit_test(refusals_name_the_field_the_want_and_what_came),
        cmocka_unit_test(strings_are_escaped_and_bad_utf8_is_replaced),
        cmocka_unit_test(writing_is_compact_and_fails_over_the_limit),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
