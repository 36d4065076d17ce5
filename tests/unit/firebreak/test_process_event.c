/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "firebreak/process_event.h"

struct read {
    int rc;
    struct process_event ev;
    struct buf bytes;
    struct err e;
};

static struct read read_text(const char *json)
{
    struct read r = { .bytes = BUF_INIT(1 << 16) };

    r.rc = process_event_read(str_from(json), &r.ev, &r.bytes, &r.e);
    return r;
}

static void start_tells_the_pid(void **state)
{
    struct read r = read_text("{\"event\":{\"start\":{\"pid\":4242}}}");

    (void)state;
    assert_int_equal(r.rc, 0);
    assert_int_equal(r.ev.kind, PROCESS_START);
    assert_int_equal(r.ev.pid, 4242);
}

static void data_is_decoded_and_keeps_its_stream(void **state)
{
    struct read out = read_text("{\"event\":{\"data\":{\"stdout\":\"aGVsbG8K\"}}}");
    struct read err = read_text("{\"event\":{\"data\":{\"stderr\":\"AAECAw==\"}}}");

    (void)state;
    assert_int_equal(out.ev.kind, PROCESS_DATA);
    assert_false(out.ev.to_stderr);
    assert_string_equal(buf_cstr(&out.bytes), "hello\n");
    assert_true(err.ev.to_stderr);
    assert_int_equal(err.bytes.n, 4);
    assert_memory_equal(err.bytes.p, "\0\1\2\3", 4);
    buf_fini(&out.bytes);
    buf_fini(&err.bytes);
}

static void an_absent_exit_code_is_zero(void **state)
{
    struct read r =
        read_text("{\"event\":{\"end\":{\"exited\":true,\"status\":\"exit status 0\"}}}");

    (void)state;
    assert_int_equal(r.rc, 0);
    assert_int_equal(r.ev.kind, PROCESS_END);
    assert_int_equal(r.ev.exit_status, 0);
}

static void an_exit_code_is_the_status(void **state)
{
    struct read r = read_text(
        "{\"event\":{\"end\":{\"exitCode\":3,\"exited\":true,\"status\":\"exit status 3\","
        "\"error\":\"exit status 3\"}}}");

    (void)state;
    assert_int_equal(r.ev.exit_status, 3);
}

static void a_signal_becomes_128_and_its_number(void **state)
{
    struct read r = read_text("{\"event\":{\"end\":{\"exitCode\":-1,\"status\":\"signal: "
                              "killed\",\"error\":\"signal: killed\"}}}");

    (void)state;
    assert_int_equal(r.ev.exit_status, 137);
    assert_string_equal(r.ev.status_text, "signal: killed");
    assert_int_equal(process_signal_status("signal: segmentation fault (core dumped)"), 139);
    assert_int_equal(process_signal_status("signal: terminated"), 143);
    assert_int_equal(process_signal_status("exit status 1"), 0);
    assert_int_equal(process_signal_status("signal: "), 0);
    assert_int_equal(process_signal_status("signal: (core dumped)"), 0);
}

static void an_end_that_no_shell_knows_is_255(void **state)
{
    struct read lost = read_text("{\"event\":{\"end\":{\"exitCode\":-1,\"status\":\"lost\"}}}");
    struct read large = read_text("{\"event\":{\"end\":{\"exitCode\":256}}}");

    (void)state;
    assert_int_equal(lost.ev.exit_status, 255);
    assert_int_equal(large.ev.exit_status, 255);
}

static void what_is_newer_than_this_program_is_skipped(void **state)
{
    (void)state;
    assert_int_equal(read_text("{\"event\":{\"keepalive\":{}}}").ev.kind, PROCESS_OTHER);
    assert_int_equal(read_text("{\"event\":{\"novelty\":{\"x\":1}}}").ev.kind, PROCESS_OTHER);
    assert_int_equal(read_text("{}").ev.kind, PROCESS_OTHER);
}

static void nonsense_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "nonsense",
        "{\"event\":{\"data\":{\"stdout\":7}}}",
        "{\"event\":{\"data\":{\"stdout\":\"%%%\"}}}",
        "{\"event\":{\"start\":{\"pid\":\"x\"}}}",
        "{\"event\":{\"start\":{\"pid\":-1}}}",
        "{\"event\":{\"end\":{\"exitCode\":99999999999}}}",
        "{\"event\":{\"end\":{\"status\":[]}}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(read_text(bad[i]).rc, -EPROTO);
}

static void output_over_the_buffer_is_an_error(void **state)
{
    struct process_event ev;
    struct buf tiny = BUF_INIT(2);
    struct err e;

    (void)state;
    assert_int_equal(process_event_read(STR("{\"event\":{\"data\":{\"stdout\":\"aGVsbG8K\"}}}"),
                                        &ev, &tiny, &e),
                     -EPROTO);
    buf_fini(&tiny);
}

static void the_end_of_a_stream_tells_an_error_or_none(void **state)
{
    struct err e = { 0 };

    (void)state;
    assert_int_equal(process_stream_end_read(STR("{}"), &e), 0);
    assert_int_equal(process_stream_end_read(STR("{\"metadata\":{}}"), &e), 0);
    assert_int_equal(process_stream_end_read(STR("{\"error\":{\"code\":\"deadline_exceeded\","
                                                 "\"message\":\"context deadline exceeded\"}}"),
                                             &e),
                     -ETIMEDOUT);
    assert_int_equal(process_stream_end_read(STR("{\"error\":{\"code\":\"invalid_argument\","
                                                 "\"message\":\"cwd '/x' does not exist\"}}"),
                                             &e),
                     -EPROTO);
    assert_string_equal(e.text, "invalid_argument: cwd '/x' does not exist");
    assert_int_equal(process_stream_end_read(STR("{\"error\":7}"), &e), -EPROTO);
    assert_int_equal(process_stream_end_read(STR(""), &e), -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_tells_the_pid),
        cmocka_unit_test(data_is_decoded_and_keeps_its_stream),
        cmocka_unit_test(an_absent_exit_code_is_zero),
        cmocka_unit_test(an_exit_code_is_the_status),
        cmocka_unit_test(a_signal_becomes_128_and_its_number),
        cmocka_unit_test(an_end_that_no_shell_knows_is_255),
        cmocka_unit_test(what_is_newer_than_this_program_is_skipped),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(output_over_the_buffer_is_an_error),
        cmocka_unit_test(the_end_of_a_stream_tells_an_error_or_none),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
