/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/auto.h"
#include "codec/connect.h"

static void what_is_written_is_read_back_with_its_size(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(100);
    unsigned flags = 9;
    struct str payload;

    connect_write(&b, 0, STR("{\"a\":1}"));
    connect_write(&b, CONNECT_FLAG_END, STR(""));
    assert_true(str_eq(buf_str(&b), STR("\0\0\0\0\x07{\"a\":1}\x02\0\0\0\0")));
    assert_int_equal(connect_read(b.p, b.n, 7, &flags, &payload), 12);
    assert_int_equal(flags, 0);
    assert_true(str_eq(payload, STR("{\"a\":1}")));
    assert_int_equal(connect_read(b.p + 12, b.n - 12, 7, &flags, &payload), 5);
    assert_int_equal(flags, CONNECT_FLAG_END);
    assert_int_equal(payload.n, 0);
}

static void half_an_envelope_waits_for_the_rest(void **state)
{
    (void)state;
    static const char whole[] = "\0\0\0\0\x03"
                                "abc";
    unsigned flags = 9;
    struct str payload = STR("untouched");

    for (size_t n = 0; n < sizeof whole - 1; n++) {
        AUTO_FREE char *copy = malloc(n + 1);
        assert_non_null(copy);
        memcpy(copy, whole, n);
        assert_int_equal(connect_read(copy, n, 100, &flags, &payload), 0);
    }
    assert_int_equal(flags, 9);
    assert_true(str_eq(payload, STR("untouched")));
}

static void size_over_the_limit_is_refused_before_its_bytes_arrive(void **state)
{
    (void)state;
    unsigned flags;
    struct str payload;

    assert_int_equal(connect_read("\0\0\0\x01\0", 5, 255, &flags, &payload), -EMSGSIZE);
    assert_int_equal(connect_read("\0\0\0\x01\0", 5, 256, &flags, &payload), 0);
    assert_int_equal(connect_read("\0\xff\xff\xff\xff", 5, 1 << 20, &flags, &payload),
                     -EMSGSIZE);
}

static void compression_and_unknown_flags_are_refused_from_the_first_byte(void **state)
{
    (void)state;
    unsigned flags;
    struct str payload;

    assert_int_equal(connect_read("\x01", 1, 100, &flags, &payload), -EPROTO);
    assert_int_equal(connect_read("\x03\0\0\0\0", 5, 100, &flags, &payload), -EPROTO);
    assert_int_equal(connect_read("\x80\0\0\0\0", 5, 100, &flags, &payload), -EPROTO);
    assert_int_equal(connect_read("{", 1, 100, &flags, &payload), -EPROTO);
}

static void codes_have_the_names_and_statuses_of_the_protocol(void **state)
{
    (void)state;
    static const struct {
        enum connect_code code;
        const char *name;
        unsigned status;
    } c[] = {
        { CONNECT_CANCELED, "canceled", 499 },
        { CONNECT_UNKNOWN, "unknown", 500 },
        { CONNECT_INVALID_ARGUMENT, "invalid_argument", 400 },
        { CONNECT_DEADLINE_EXCEEDED, "deadline_exceeded", 504 },
        { CONNECT_NOT_FOUND, "not_found", 404 },
        { CONNECT_ALREADY_EXISTS, "already_exists", 409 },
        { CONNECT_PERMISSION_DENIED, "permission_denied", 403 },
        { CONNECT_RESOURCE_EXHAUSTED, "resource_exhausted", 429 },
        { CONNECT_FAILED_PRECONDITION, "failed_precondition", 400 },
        { CONNECT_ABORTED, "aborted", 409 },
        { CONNECT_OUT_OF_RANGE, "out_of_range", 400 },
        { CONNECT_UNIMPLEMENTED, "unimplemented", 501 },
        { CONNECT_INTERNAL, "internal", 500 },
        { CONNECT_UNAVAILABLE, "unavailable", 503 },
        { CONNECT_DATA_LOSS, "data_loss", 500 },
        { CONNECT_UNAUTHENTICATED, "unauthenticated", 401 },
        { (enum connect_code)0, "unknown", 500 },
        { (enum connect_code)17, "unknown", 500 },
    };

    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        assert_string_equal(connect_code_name(c[i].code), c[i].name);
        assert_int_equal(connect_code_status(c[i].code), c[i].status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back_with_its_size),
        cmocka_unit_test(half_an_envelope_waits_for_the_rest),
        cmocka_unit_test(size_over_the_limit_is_refused_before_its_bytes_arrive),
        cmocka_unit_test(compression_and_unknown_flags_are_refused_from_the_first_byte),
        cmocka_unit_test(codes_have_the_names_and_statuses_of_the_protocol),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
