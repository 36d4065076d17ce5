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

#include "base/auto.h"
#include <signal.h>

#include "envd/auth.h"
#include "envd/entry.h"
#include "envd/metrics.h"
#include "envd/mime.h"
#include "envd/process_rpc.h"
#include "envd/sudo.h"

static void signature_of_the_specification_holds(void **state)
{
    (void)state;
    char got[AUTH_SIGNATURE_MAX];
    struct str token = STR("0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0");

    assert_int_equal(auth_sign(STR("hello.txt"), "read", STR("user"), token, STR(""), got), 0);
    assert_string_equal(got, "v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E");
}

static void every_part_of_a_signature_counts(void **state)
{
    (void)state;
    char base[AUTH_SIGNATURE_MAX], other[AUTH_SIGNATURE_MAX];

    assert_int_equal(auth_sign(STR("p"), "read", STR("u"), STR("t"), STR("1"), base), 0);
    assert_int_equal(auth_sign(STR("q"), "read", STR("u"), STR("t"), STR("1"), other), 0);
    assert_string_not_equal(base, other);
    assert_int_equal(auth_sign(STR("p"), "write", STR("u"), STR("t"), STR("1"), other), 0);
    assert_string_not_equal(base, other);
    assert_int_equal(auth_sign(STR("p"), "read", STR("v"), STR("t"), STR("1"), other), 0);
    assert_string_not_equal(base, other);
    assert_int_equal(auth_sign(STR("p"), "read", STR("u"), STR("s"), STR("1"), other), 0);
    assert_string_not_equal(base, other);
    assert_int_equal(auth_sign(STR("p"), "read", STR("u"), STR("t"), STR("2"), other), 0);
    assert_string_not_equal(base, other);
    assert_int_equal(auth_sign(STR("p"), "read", STR("u"), STR("t"), STR(""), other), 0);
    assert_string_not_equal(base, other);
}

static void permissions_are_written_as_go_does(void **state)
{
    (void)state;
    static const struct {
        mode_t mode;
        const char *want;
    } v[] = {
        { S_IFREG | 0644, "-rw-r--r--" },     { S_IFREG | 0, "----------" },
        { S_IFDIR | 0755, "drwxr-xr-x" },     { S_IFLNK | 0777, "Lrwxrwxrwx" },
        { S_IFDIR | 01777, "dtrwxrwxrwx" },   { S_IFREG | 04755, "urwxr-xr-x" },
        { S_IFREG | 02755, "grwxr-xr-x" },    { S_IFREG | 06755, "ugrwxr-xr-x" },
        { S_IFCHR | 0666, "Dcrw-rw-rw-" },    { S_IFBLK | 0660, "Drw-rw----" },
        { S_IFIFO | 0600, "prw-------" },     { S_IFSOCK | 0755, "Srwxr-xr-x" },
        { S_IFDIR | 07777, "dugtrwxrwxrwx" },
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        char got[ENTRY_PERMISSIONS_MAX];
        entry_permissions(v[i].mode, got);
        assert_string_equal(got, v[i].want);
    }
}

#define EXITED(code) ((code) << 8)
#define KILLED(sig)  (sig)
#define WITH_CORE    0x80

static void status_texts_are_those_of_go(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *want;
    } v[] = {
        { EXITED(0), "exit status 0" },
        { EXITED(255), "exit status 255" },
        { KILLED(SIGKILL), "signal: killed" },
        { KILLED(SIGTERM), "signal: terminated" },
        { KILLED(SIGHUP), "signal: hangup" },
        { KILLED(SIGABRT) | WITH_CORE, "signal: aborted (core dumped)" },
        { KILLED(SIGSEGV), "signal: segmentation fault" },
        { KILLED(SIGXCPU), "signal: signal 24" },
        { KILLED(40), "signal: signal 40" },
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        char got[PROCESS_STATUS_MAX];
        process_status_text(v[i].status, got);
        assert_string_equal(got, v[i].want);
    }
}

static void end_events_leave_out_what_is_the_default(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *want;
    } v[] = {
        { EXITED(0), "{\"event\":{\"end\":{\"exited\":true,\"status\":\"exit status 0\"}}}" },
        { EXITED(3),
          "{\"event\":{\"end\":{\"exitCode\":3,\"exited\":true,\"status\":\"exit status 3\","
          "\"error\":\"exit status 3\"}}}" },
        { KILLED(SIGKILL), "{\"event\":{\"end\":{\"exitCode\":-1,\"exited\":false,"
                           "\"status\":\"signal: killed\",\"error\":\"signal: killed\"}}}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        AUTO_BUF struct buf got = BUF_INIT(1024);
        process_end_event(v[i].status, &got);
        assert_string_equal(buf_cstr(&got), v[i].want);
    }
}

static void types_come_from_the_name_and_then_from_the_bytes(void **state)
{
    (void)state;
    assert_string_equal(mime_type(STR("a.HTML"), STR("\x89PNG\r\n\x1a\n")),
                        "text/html; charset=utf-8");
    assert_string_equal(mime_type(STR("a"), STR("\x89PNG\r\n\x1a\n")), "image/png");
    assert_string_equal(mime_type(STR("html"), STR("plain\ttext\n\x1b[0m")),
                        "text/plain; charset=utf-8");
    assert_string_equal(mime_type(STR("a"), STR("")), "text/plain; charset=utf-8");
    assert_string_equal(mime_type(STR("a"), STR("\x01")), "application/octet-stream");
}

static void processor_time_is_busy_unless_idle_or_waiting(void **state)
{
    (void)state;
    struct metrics_cpu cpu;

    assert_int_equal(
        metrics_parse_stat(STR("cpu  1 2 4 100 200 8 16 32 1000 1000\ncpu0 9"), &cpu), 0);
    assert_int_equal(cpu.busy, 63);
    assert_int_equal(cpu.total, 363);
    assert_int_equal(metrics_parse_stat(STR("cpu  1 2 4 100\n"), &cpu), -EINVAL);
    assert_int_equal(metrics_parse_stat(STR("cpu0 1 2 3 4 5 6 7 8\n"), &cpu), -EINVAL);
    assert_int_equal(metrics_parse_stat(STR(""), &cpu), -EINVAL);
}

static void memory_is_in_bytes_and_zero_if_unknown(void **state)
{
    (void)state;
    struct str text = STR("MemTotal:       16 kB\nMemFree:  8 kB\nBad: x kB\n");

    assert_int_equal(metrics_meminfo(text, "MemTotal"), 16384);
    assert_int_equal(metrics_meminfo(text, "Mem"), 0);
    assert_int_equal(metrics_meminfo(text, "Bad"), 0);
}

static void joined_commands_survive_a_shell(void **state)
{
    (void)state;
    AUTO_BUF struct buf got = BUF_INIT(1024);
    static char a[] = "echo", b[] = "a  b;c", c[] = "$HOME-x_1";
    char *const args[] = { a, b, c };

    sudo_join_command(args, ARRAY_LEN(args), &got);
    assert_string_equal(buf_cstr(&got), "echo a\\ \\ b\\;c $HOME-x_1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signature_of_the_specification_holds),
        cmocka_unit_test(every_part_of_a_signature_counts),
        cmocka_unit_test(permissions_are_written_as_go_does),
        cmocka_unit_test(status_texts_are_those_of_go),
        cmocka_unit_test(end_events_leave_out_what_is_the_default),
        cmocka_unit_test(types_come_from_the_name_and_then_from_the_bytes),
        cmocka_unit_test(processor_time_is_busy_unless_idle_or_waiting),
        cmocka_unit_test(memory_is_in_bytes_and_zero_if_unknown),
        cmocka_unit_test(joined_commands_survive_a_shell),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
