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
#include "codec/base64.h"

static void assert_decodes(struct str text, struct str want)
{
    AUTO_BUF struct buf b = BUF_INIT(100);

    assert_int_equal(base64_decode(text, &b), 0);
    assert_true(buf_ok(&b));
    assert_true(str_eq(buf_str(&b), want));
}

static void vectors_of_rfc_4648_hold_both_ways(void **state)
{
    (void)state;
    static const char *const v[][3] = {
        { "", "", "" },
        { "f", "Zg==", "Zg" },
        { "fo", "Zm8=", "Zm8" },
        { "foo", "Zm9v", "Zm9v" },
        { "foob", "Zm9vYg==", "Zm9vYg" },
        { "fooba", "Zm9vYmE=", "Zm9vYmE" },
        { "foobar", "Zm9vYmFy", "Zm9vYmFy" },
    };

    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        AUTO_BUF struct buf b = BUF_INIT(100);
        base64_encode(v[i][0], strlen(v[i][0]), &b);
        assert_string_equal(buf_cstr(&b), v[i][1]);
        assert_decodes(str_from(v[i][1]), str_from(v[i][0]));
        assert_decodes(str_from(v[i][2]), str_from(v[i][0]));
    }
}

static void every_byte_survives_in_every_position(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        const char in[] = { (char)c, (char)(255 - c), (char)c, (char)c, 0 };
        for (size_t n = 1; n <= sizeof in; n++) {
            AUTO_BUF struct buf b = BUF_INIT(100);
            base64_encode(in, n, &b);
            assert_decodes(buf_str(&b), (struct str){ in, n });
        }
    }
}

static void url_safe_text_has_no_padding_and_is_read_back(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 4; n++) {
        AUTO_BUF struct buf b = BUF_INIT(100);
        base64url_encode("\xfb\xff\xbf\xfe", n, &b);
        assert_false(str_find(buf_str(&b), '=', &(size_t){ 0 }));
        assert_decodes(buf_str(&b), (struct str){ "\xfb\xff\xbf\xfe", n });
    }
    AUTO_BUF struct buf b = BUF_INIT(100);
    base64url_encode("\xfb\xff\xbf", 3, &b);
    assert_string_equal(buf_cstr(&b), "-_-_");
}

static void both_alphabets_are_read_but_not_mixed(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(100);

    assert_decodes(STR("+/+/"), STR("\xfb\xff\xbf"));
    assert_decodes(STR("-_-_"), STR("\xfb\xff\xbf"));
    assert_int_equal(base64_decode(STR("+_+_"), &b), -EINVAL);
    assert_int_equal(base64_decode(STR("-/AA"), &b), -EINVAL);
}

static void what_no_encoder_writes_is_refused_and_leaves_the_output_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "A",    "AAAAA", "Zg=",   "Zg===",  "Zm9v=", "=",    "==",       "====",
        "Zh==", "Zm9=",  "Zm 9v", "Zm9v\n", "Zm9v!", "Z=g=", "Zg==Zg==", "\x80\x80\x80\x80"
    };
    AUTO_BUF struct buf b = BUF_INIT(100);

    buf_add_cstr(&b, "before");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(base64_decode(str_from(bad[i]), &b), -EINVAL);
        assert_string_equal(buf_cstr(&b), "before");
    }
    assert_int_equal(base64_decode(STR("AA\0A"), &b), -EINVAL);
    assert_true(buf_ok(&b));
}

static void output_over_the_limit_is_the_buffers_failure(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(3);

    base64_encode("a", 1, &b);
    assert_false(buf_ok(&b));
    buf_clear(&b);
    assert_int_equal(base64_decode(STR("Zm9vYg=="), &b), 0);
    assert_false(buf_ok(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_of_rfc_4648_hold_both_ways),
        cmocka_unit_test(every_byte_survives_in_every_position),
        cmocka_unit_test(url_safe_text_has_no_padding_and_is_read_back),
        cmocka_unit_test(both_alphabets_are_read_but_not_mixed),
        cmocka_unit_test(what_no_encoder_writes_is_refused_and_leaves_the_output_alone),
        cmocka_unit_test(output_over_the_limit_is_the_buffers_failure),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
