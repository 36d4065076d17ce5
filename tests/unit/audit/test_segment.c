/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "audit/segment.h"
#include "base/auto.h"
#include "base/clock.h"

static void names_of_files_have_one_form(void **state)
{
    (void)state;
    static const char *const not_ours[] = { "",
                                            "2026-01-02",
                                            "2026-01-02.json",
                                            "2026-1-02.jsonl",
                                            "2026-13-02.jsonl",
                                            "2026-02-30.jsonl",
                                            "2026-01-02.0.jsonl",
                                            "2026-01-02.01.jsonl",
                                            "2026-01-02.-1.jsonl",
                                            "x2026-01-02.jsonl",
                                            "2026-01-02.jsonl.",
                                            "cut-1" };
    struct segment s;
    char name[SEGMENT_NAME];

    for (size_t i = 0; i < ARRAY_LEN(not_ours); i++)
        assert_false(segment_parse(str_from(not_ours[i]), &s));
    assert_true(segment_parse(STR("2026-01-02.17.jsonl"), &s));
    assert_int_equal(s.part, 17);
    segment_name(&s, name);
    assert_string_equal(name, "2026-01-02.17.jsonl");
}

static void files_of_a_day_are_in_the_order_of_their_numbers(void **state)
{
    (void)state;
    const struct segment a = { 5, 0 }, b = { 5, 2 }, c = { 5, 10 }, d = { 6, 0 };

    assert_true(segment_compare(&a, &b) < 0 && segment_compare(&b, &c) < 0 &&
                segment_compare(&c, &d) < 0 && segment_compare(&d, &a) > 0);
    assert_int_equal(segment_compare(&b, &b), 0);
}

/* The last record of the day has been kept for all of its days, and not a second less. */
static void R92_to_R97_a_file_is_kept_to_the_second(void **state)
{
    (void)state;
    static const unsigned days[] = { 30, 90, 365 };
    const struct segment s = { 20000, 0 };

    for (size_t i = 0; i < ARRAY_LEN(days); i++) {
        uint64_t end_ns = (20000 + 1 + (uint64_t)days[i]) * 86400 * NS_PER_S;
        assert_false(segment_is_over(&s, days[i], end_ns - NS_PER_S));
        assert_true(segment_is_over(&s, days[i], end_ns));
    }
}

static void each_job_and_retention_is_a_stream_of_its_own(void **state)
{
    (void)state;
    bool seen[AUDIT_STREAMS] = { false };

    for (uint32_t job = 0; job < AUDIT_JOBS; job++)
        for (unsigned days = 30; days <= 365; days = days == 30 ? 90 : days == 90 ? 365 : 999) {
            unsigned i = audit_stream_of(job, days);
            assert_false(seen[i]);
            seen[i] = true;
            assert_int_equal(audit_stream_job(i), job);
            assert_int_equal(audit_stream_days(i), days);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_of_files_have_one_form),
        cmocka_unit_test(files_of_a_day_are_in_the_order_of_their_numbers),
        cmocka_unit_test(R92_to_R97_a_file_is_kept_to_the_second),
        cmocka_unit_test(each_job_and_retention_is_a_stream_of_its_own),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
