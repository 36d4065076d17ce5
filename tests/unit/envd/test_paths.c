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
#include "envd/paths.h"

static char out[PATHS_MAX];

static void assert_cleaned(const char *path, const char *want)
{
    assert_int_equal(paths_clean(str_from(path), out), 0);
    assert_string_equal(out, want);
}

static void cleaning_is_that_of_go(void **state)
{
    (void)state;
    static const char *const v[][2] = {
        { "", "." },
        { "/", "/" },
        { "//", "/" },
        { "a//b/", "a/b" },
        { "/a/./b/.", "/a/b" },
        { "/a/../b", "/b" },
        { "/..", "/" },
        { "/../../a", "/a" },
        { "..", ".." },
        { "../../a", "../../a" },
        { "a/..", "." },
        { "a/../..", ".." },
        { "/a/b/../../..", "/" },
        { "...", "..." },
        { "/a/..b/c..", "/a/..b/c.." },
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++)
        assert_cleaned(v[i][0], v[i][1]);
}

static void assert_resolves(const char *path, const char *workdir, const char *want)
{
    assert_int_equal(paths_resolve(str_from(path), "/home/user", workdir, out), 0);
    assert_string_equal(out, want);
}

static void paths_resolve_from_home_and_not_from_the_workdir(void **state)
{
    (void)state;
    assert_resolves("a/b", "/app", "/home/user/a/b");
    assert_resolves("./a/../b", "/app", "/home/user/b");
    assert_resolves("../other", "/app", "/home/other");
    assert_resolves("~", "/app", "/home/user");
    assert_resolves("~/x", "/app", "/home/user/x");
    assert_resolves("a~b", "/app", "/home/user/a~b");
}

static void empty_path_is_the_workdir_or_else_home(void **state)
{
    (void)state;
    assert_resolves("", "/app", "/app");
    assert_resolves("", "", "/home/user");
}

static void absolute_path_is_left_as_it_is(void **state)
{
    (void)state;
    assert_resolves("/a//b/../c/", "/app", "/a//b/../c/");
}

static void home_of_others_is_refused(void **state)
{
    (void)state;
    assert_int_equal(paths_resolve(STR("~root"), "/home/user", "", out), -EINVAL);
    assert_int_equal(paths_resolve(STR("~root/x"), "/home/user", "", out), -EINVAL);
    assert_int_equal(paths_resolve(STR("x"), "relative", "", out), -EINVAL);
}

static void paths_that_do_not_fit_are_refused_and_the_longest_that_does_is_not(void **state)
{
    (void)state;
    char text[PATHS_MAX + 10];

    memset(text, 'x', sizeof text);
    text[0] = '/';
    assert_int_equal(paths_resolve((struct str){ text, PATHS_MAX - 1 }, "/h", "", out), 0);
    assert_int_equal(paths_resolve((struct str){ text, PATHS_MAX }, "/h", "", out),
                     -ENAMETOOLONG);
    assert_int_equal(paths_clean((struct str){ text, PATHS_MAX - 2 }, out), 0);
    assert_int_equal(paths_clean((struct str){ text, PATHS_MAX + 5 }, out), -ENAMETOOLONG);
    assert_int_equal(paths_resolve((struct str){ text + 1, PATHS_MAX - 2 }, "/h", "", out),
                     -ENAMETOOLONG);
    assert_int_equal(paths_join("/h", (struct str){ text, PATHS_MAX - 4 }, out), 0);
    assert_int_equal(strlen(out), PATHS_MAX - 1);
    assert_int_equal(paths_join("/h", (struct str){ text, PATHS_MAX - 3 }, out), -ENAMETOOLONG);
}

static void base_and_parent_ignore_slashes_at_the_end(void **state)
{
    (void)state;
    static const char *const v[][3] = {
        { "/a/b", "b", "/a" }, { "/a/b//", "b", "/a" }, { "/a", "a", "/" },
        { "/", "/", "/" },     { "a", "a", "." },       { "/a//b", "b", "/a" },
    };
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        assert_true(str_eq(paths_base(str_from(v[i][0])), str_from(v[i][1])));
        paths_parent(v[i][0], out);
        assert_string_equal(out, v[i][2]);
    }
    assert_true(str_eq(paths_base(STR("")), STR(".")));
}

static void join_adds_one_slash(void **state)
{
    (void)state;
    static const char *const dirs[] = { "/a", "/a/", "/a//" };
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        assert_int_equal(paths_join(dirs[i], STR("b"), out), 0);
        assert_string_equal(out, "/a/b");
    }
    assert_int_equal(paths_join("/", STR("b"), out), 0);
    assert_string_equal(out, "/b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cleaning_is_that_of_go),
        cmocka_unit_test(paths_resolve_from_home_and_not_from_the_workdir),
        cmocka_unit_test(empty_path_is_the_workdir_or_else_home),
        cmocka_unit_test(absolute_path_is_left_as_it_is),
        cmocka_unit_test(home_of_others_is_refused),
        cmocka_unit_test(paths_that_do_not_fit_are_refused_and_the_longest_that_does_is_not),
        cmocka_unit_test(base_and_parent_ignore_slashes_at_the_end),
        cmocka_unit_test(join_adds_one_slash),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
