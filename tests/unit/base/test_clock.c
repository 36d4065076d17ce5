/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/clock.h"

static void assert_reads(const char *text, uint64_t want)
{
    uint64_t got = 1;

    assert_int_equal(clock_parse_rfc3339(text, &got), 0);
    assert_true(got == want);
}

static void assert_refuses(const char *text)
{
    uint64_t v = 42;

    assert_int_equal(clock_parse_rfc3339(text, &v), -EINVAL);
    assert_true(v == 42);
}

static void formats_utc_with_the_decimals_asked_for(void **state)
{
    (void)state;
    char out[CLOCK_TEXT_MAX];
    const uint64_t t = UINT64_C(1767323045) * NS_PER_S + 678901234;

    clock_format_rfc3339(t, 0, out);
    assert_string_equal(out, "2026-01-02T03:04:05Z");
    clock_format_rfc3339(t, 3, out);
    assert_string_equal(out, "2026-01-02T03:04:05.678Z"); /* cut, not rounded */
    clock_format_rfc3339(t, 9, out);
    assert_string_equal(out, "2026-01-02T03:04:05.678901234Z");
    clock_format_rfc3339(5, 9, out);
    assert_string_equal(out, "1970-01-01T00:00:00.000000005Z");
    clock_format_rfc3339(UINT64_MAX, 9, out);
    assert_string_equal(out, "2554-07-21T23:34:33.709551615Z");
}

static void reads_back_what_it_writes(void **state)
{
    (void)state;
    static const uint64_t times[] = { 0,
                                      1,
                                      NS_PER_S - 1,
                                      UINT64_C(951782400) * NS_PER_S,
                                      UINT64_C(1767323045678901234),
                                      UINT64_MAX };
    char out[CLOCK_TEXT_MAX];

    for (size_t i = 0; i < ARRAY_LEN(times); i++) {
        clock_format_rfc3339(times[i], 9, out);
        assert_reads(out, times[i]);
    }
}

static void offsets_fractions_and_leap_seconds_are_understood(void **state)
{
    (void)state;
    const uint64_t t = UINT64_C(1767323045) * NS_PER_S;

    assert_reads("2026-01-02T03:04:05Z", t);
    assert_reads("2026-01-02t03:04:05z", t);
    assert_reads("2026-01-02T05:34:05+02:30", t);
    assert_reads("2026-01-01T22:04:05-05:00", t);
    assert_reads("2026-01-02T03:04:05.5Z", t + NS_PER_S / 2);
    assert_reads("2024-02-29T00:00:00Z", UINT64_C(1709164800) * NS_PER_S);
    assert_reads("2016-12-31T23:59:60Z", UINT64_C(1483228800) * NS_PER_S);
}

static void what_is_no_moment_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05ZZ",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05.1234567890Z",
        "2026-1-02T03:04:05Z",
        "2026-13-02T03:04:05Z",
        "2026-00-02T03:04:05Z",
        "2026-02-30T03:04:05Z",
        "2025-02-29T03:04:05Z",
        "2026-01-00T03:04:05Z",
        "2026-01-02T24:04:05Z",
        "2026-01-02T03:60:05Z",
        "2026-01-02T03:04:61Z",
        "2026-01-02T03:04:05+24:00",
        "2026-01-02T03:04:05+0100",
        "2026-01-02T03:04:05 Z",
        "+026-01-02T03:04:05Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00+00:01",
        "2554-07-21T23:34:34Z",
        "9999-12-31T23:59:59Z",
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_refuses(bad[i]);
}

static void monotonic_clocks_do_not_step_back(void **state)
{
    (void)state;
    uint64_t mono = clock_mono_ns(), boot = clock_boot_ns();

    assert_true(mono <= clock_mono_ns());
    assert_true(boot <= clock_boot_ns());
    assert_true(clock_real_ns() > UINT64_C(1700000000) * NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_utc_with_the_decimals_asked_for),
        cmocka_unit_test(reads_back_what_it_writes),
        cmocka_unit_test(offsets_fractions_and_leap_seconds_are_understood),
        cmocka_unit_test(what_is_no_moment_is_refused),
        cmocka_unit_test(monotonic_clocks_do_not_step_back),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
