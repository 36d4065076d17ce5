/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "envd/warm.h"

#define LIST(...) ((char *const[]){ __VA_ARGS__, NULL }) /* of literals that nobody writes to */

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}
#define T(s) text(s)

static void a_command_or_a_file_is_taken_and_nothing_else(void **state)
{
    (void)state;
    assert_true(warm_takes_args(LIST(T("python3"), T("-c"), T("print(1)"))));
    assert_true(warm_takes_args(LIST(T("python3"), T("-c"), T(""), T("-x"))));
    assert_true(warm_takes_args(LIST(T("python3"), T("a.py"), T("-c"))));
    assert_false(warm_takes_args(LIST(T("python3"))));
    assert_false(warm_takes_args(LIST(T("python3"), T("-c"))));
    assert_false(warm_takes_args(LIST(T("python3"), T("-cprint(1)"))));
    assert_false(warm_takes_args(LIST(T("python3"), T("-"))));
    assert_false(warm_takes_args(LIST(T("python3"), T(""))));
    assert_false(warm_takes_args(LIST(T("python3"), T("-Ic"), T("1"))));
    assert_false(warm_takes_args(LIST(T("python3"), T("-m"), T("this"))));
    assert_false(warm_takes_args(LIST(T("python3"), T("--"), T("a.py"))));
}

static void environments_must_agree_in_what_a_start_looks_at_and_in_nothing_else(void **state)
{
    static const char *const counts[] = {
        "HOME=/x",           "PATH=/x",        "LANG=C.UTF-8",     "LC_ALL=C",
        "LC_CTYPE=C",        "TZ=UTC",         "PYTHONPATH=/x",    "PYTHONHASHSEED=0",
        "PYTHONUNBUFFERED=", "LD_PRELOAD=/x",  "LD_LIBRARY_PATH=", "MALLOC_ARENA_MAX=1",
        "GLIBC_TUNABLES=x",  "OPENSSL_CONF=/x"
    };
    char *const none[] = { NULL };

    (void)state;
    assert_true(warm_same_start(none, none));
    assert_true(
        warm_same_start(none, LIST(T("MINE=1"), T("USER=u"), T("HOMES=/x"), T("PATHX="))));
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        assert_false(warm_same_start(none, LIST(T(counts[i]))));
        assert_false(warm_same_start(LIST(T(counts[i])), none));
        assert_true(
            warm_same_start(LIST(T("A=1"), T(counts[i])), LIST(T(counts[i]), T("B=1"))));
    }
    assert_false(warm_same_start(LIST(T("HOME=/a")), LIST(T("HOME=/b"))));
    assert_false(warm_same_start(LIST(T("HOME=/a")), LIST(T("HOME=/a/"))));
}

static void files_at_home_and_in_tmp_do_not_count_unless_a_dot_begins_a_name(void **state)
{
    static const char *const does[] = { "/usr/lib/python3/dist-packages/x.pth",
                                        "/etc/passwd",
                                        "/home/user/.local/lib/python3.11/site-packages/x.pth",
                                        "/home/user/a/.b/c",
                                        "/home/user/.config",
                                        "/home/users/x.py",
                                        "/home/user",
                                        "/tmpfile",
                                        "/tmp" };
    static const char *const does_not[] = { "/home/user/x.py", "/home/user/a/b.c/d", "/tmp/x",
                                            "/tmp/.x/y" };

    (void)state;
    for (size_t i = 0; i < sizeof does / sizeof does[0]; i++)
        assert_true(warm_path_counts(does[i], "/home/user"));
    for (size_t i = 0; i < sizeof does_not / sizeof does_not[0]; i++)
        assert_false(warm_path_counts(does_not[i], "/home/user"));
    /* A home that is everything, or nothing, hides nothing. */
    assert_true(warm_path_counts("/usr/lib/x", "/"));
    assert_true(warm_path_counts("/usr/lib/x", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_or_a_file_is_taken_and_nothing_else),
        cmocka_unit_test(environments_must_agree_in_what_a_start_looks_at_and_in_nothing_else),
        cmocka_unit_test(files_at_home_and_in_tmp_do_not_count_unless_a_dot_begins_a_name),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
