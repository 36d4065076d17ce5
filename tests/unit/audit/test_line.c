/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "audit/line.h"
#include "base/auto.h"
#include "base/clock.h"

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

/* The example of the guide. */
static struct audit_line guide(void)
{
    struct audit_line l = { .f = { .event = AUDIT_SANDBOX_EXECUTED,
                                   .duration_ms = 1234,
                                   .success = 1,
                                   .sandbox_id = "sb-uuid-v4",
                                   .user_id = "user-123",
                                   .agent_id = "agent-zero",
                                   .language = "python",
                                   .ip_address = "172.30.1.10" },
                            .seq = 1 };
    assert_int_equal(clock_parse_rfc3339("2025-12-29T12:00:00Z", &l.f.real_ns), 0);
    return l;
}

static const char *written(const struct audit_line *l, struct buf *b)
{
    buf_clear(b);
    assert_int_equal(audit_line_write(l, b), 0);
    return buf_cstr(b);
}

static void R98_to_R106_the_line_of_the_guide_in_its_order(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(AUDIT_LINE_MAX);
    struct audit_line l = guide();

    assert_string_equal(
        written(&l, &b),
        "{\"timestamp\":\"2025-12-29T12:00:00.000Z\",\"event_type\":\"sandbox.executed\","
        "\"sandbox_id\":\"sb-uuid-v4\",\"user_id\":\"user-123\",\"agent_id\":\"agent-zero\","
        "\"language\":\"python\",\"duration_ms\":1234,\"success\":true,"
        "\"ip_address\":\"172.30.1.10\",\"seq\":1,\"prev_hash\":\"" ZEROS "\"}");
}

static void what_does_not_apply_is_null_and_extras_come_last(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(AUDIT_LINE_MAX);
    struct audit_line l = { .f = { .event = AUDIT_AUTH_FAILED,
                                   .duration_ms = AUDIT_NO_DURATION,
                                   .success = AUDIT_NO_SUCCESS,
                                   .severity = SEVERITY_HIGH,
                                   .has_exit_code = 1,
                                   .exit_code = -3,
                                   .request_id = "r1",
                                   .reason = "unknown key" },
                            .seq = UINT64_MAX };

    assert_string_equal(
        written(&l, &b),
        "{\"timestamp\":\"1970-01-01T00:00:00.000Z\",\"event_type\":\"auth.failed\","
        "\"sandbox_id\":null,\"user_id\":null,\"agent_id\":null,\"language\":null,"
        "\"duration_ms\":null,\"success\":null,\"ip_address\":null,\"request_id\":\"r1\","
        "\"reason\":\"unknown key\",\"exit_code\":-3,\"severity\":\"high\","
        "\"seq\":18446744073709551615,\"prev_hash\":\"" ZEROS "\"}");
}

static void R92_to_R97_the_six_events_are_kept_as_the_guide_says(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned days;
    } want[] = { { "sandbox.created", 90 },    { "sandbox.executed", 90 },
                 { "sandbox.terminated", 90 }, { "sandbox.failed", 365 },
                 { "desktop.accessed", 90 },   { "surf.started", 30 } };

    for (uint32_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_string_equal(audit_event_text(i), want[i].name);
        assert_int_equal(audit_event_days(i), want[i].days);
    }
    assert_null(audit_event_text(AUDIT_EVENTS));
}

/* S01: no text can end its line, its field or a terminal's mode; and each is intact after it was read. */
static void S01_any_byte_is_escaped_and_comes_back(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(AUDIT_LINE_MAX);
    struct audit_line l = guide(), back;

    for (unsigned c = 1; c < 0x110000; c = c < 0x100 ? c + 1 : c + 97) {
        if (c >= 0xd800 && c < 0xe000)
            continue;
        char text[8] = { 0 };
        size_t n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        unsigned v = c;
        for (size_t i = n; i-- > 1; v >>= 6)
            text[i] = (char)(0x80 | (v & 0x3f));
        text[0] = (char)(n == 1 ? v : v | (0xf00u >> n & 0xf0));
        (void)snprintf(l.f.user_id, sizeof l.f.user_id, "a%sb", text);
        (void)written(&l, &b);
        for (size_t i = 0; i < b.n; i++)
            assert_in_range(b.p[i], 0x20, 0x7e);
        assert_int_equal(audit_line_read(buf_str(&b), &back), 0);
        assert_string_equal(back.f.user_id, l.f.user_id);
    }
    (void)snprintf(l.f.user_id, sizeof l.f.user_id, "x\r\n\033[31m\"}{\xff\xc0\xaf");
    assert_non_null(strstr(written(&l, &b), "\"x\\u000d\\u000a\\u001b[31m\\\"}{???\""));
}

static void the_longest_texts_fit_and_are_not_cut(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(AUDIT_LINE_MAX);
    struct audit_line l = guide(), back;

    memset(l.f.sandbox_id, 1, sizeof l.f.sandbox_id - 1);
    memset(l.f.user_id, 1, sizeof l.f.user_id - 1);
    memset(l.f.agent_id, 1, sizeof l.f.agent_id - 1);
    memset(l.f.language, 1, sizeof l.f.language - 1);
    memset(l.f.ip_address, 1, sizeof l.f.ip_address - 1);
    memset(l.f.request_id, 1, sizeof l.f.request_id - 1);
    memset(l.f.reason, 1, sizeof l.f.reason - 1);
    (void)written(&l, &b);
    assert_int_equal(audit_line_read(buf_str(&b), &back), 0);
    assert_memory_equal(back.f.reason, l.f.reason, sizeof l.f.reason);
}

static void no_key_token_or_envelope_is_ever_written(void **state)
{
    (void)state;
    static const char *const secret[] = { "e2b_0123456789abcdef0123456789abcdef01234567",
                                          "x e2b_0123456789ABCDEF",
                                          "eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyX2lkIjoieCJ9.c2ln",
                                          "chit:encrypt:v1.a.b.c.d", ZEROS };
    static const char *const harmless[] = {
        "e2b_",       "e2b_sandbox", "eyJ", "policy tcp 1.2.3.4:443", "0123456789abcdef",
        "unknown key"
    };
    AUTO_BUF struct buf b = BUF_INIT(AUDIT_LINE_MAX);
    struct audit_line l = guide();

    for (size_t i = 0; i < ARRAY_LEN(secret); i++) {
        (void)snprintf(l.f.reason, sizeof l.f.reason, "%s", secret[i]);
        assert_non_null(strstr(written(&l, &b), "\"reason\":\"redacted\""));
    }
    for (size_t i = 0; i < ARRAY_LEN(harmless); i++) {
        (void)snprintf(l.f.reason, sizeof l.f.reason, "%s", harmless[i]);
        assert_non_null(strstr(written(&l, &b), harmless[i]));
    }
}

/* Whatever byte is changed: it is no record any more, or another one. */
static void reading_takes_only_what_writing_makes(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(AUDIT_LINE_MAX), again = BUF_INIT(AUDIT_LINE_MAX);
    struct audit_line l = guide(), back;

    (void)written(&l, &b);
    for (size_t i = 0; i < b.n; i++)
        for (int bit = 0; bit < 8; bit++) {
            b.p[i] ^= (char)(1 << bit);
            if (audit_line_read(buf_str(&b), &back) == 0)
                assert_true(str_eq(str_from(written(&back, &again)), buf_str(&b)));
            b.p[i] ^= (char)(1 << bit);
        }
    for (size_t n = 0; n < b.n; n++)
        assert_int_equal(audit_line_read(str_sub(buf_str(&b), 0, n), &back), -EINVAL);
    buf_add_char(&b, ' ');
    assert_int_equal(audit_line_read(buf_str(&b), &back), -EINVAL);
}

static void numbers_that_name_nothing_are_refused(void **state)
{
    (void)state;
    AUTO_BUF struct buf b = BUF_INIT(AUDIT_LINE_MAX);
    struct audit_line l = guide();

    l.f.event = AUDIT_EVENTS;
    assert_int_equal(audit_line_write(&l, &b), -EINVAL);
    l = guide();
    l.f.severity = AUDIT_SEVERITIES;
    assert_int_equal(audit_line_write(&l, &b), -EINVAL);
    l = guide();
    l.f.success = 2;
    assert_int_equal(audit_line_write(&l, &b), -EINVAL);
    assert_int_equal(b.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R98_to_R106_the_line_of_the_guide_in_its_order),
        cmocka_unit_test(what_does_not_apply_is_null_and_extras_come_last),
        cmocka_unit_test(R92_to_R97_the_six_events_are_kept_as_the_guide_says),
        cmocka_unit_test(S01_any_byte_is_escaped_and_comes_back),
        cmocka_unit_test(the_longest_texts_fit_and_are_not_cut),
        cmocka_unit_test(no_key_token_or_envelope_is_ever_written),
        cmocka_unit_test(reading_takes_only_what_writing_makes),
        cmocka_unit_test(numbers_that_name_nothing_are_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
