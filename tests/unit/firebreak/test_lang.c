/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "firebreak/lang.h"

#define CHECK_LANG(got, want) assert_string_equal((got) ? (got)->name : "none", (want))

static void a_language_has_the_names_that_people_use(void **state)
{
    (void)state;
    CHECK_LANG(lang_by_name("python"), "python");
    CHECK_LANG(lang_by_name("js"), "javascript");
    CHECK_LANG(lang_by_name("Node"), "javascript");
    CHECK_LANG(lang_by_name("sh"), "bash");
    CHECK_LANG(lang_by_name("perl"), "none");
    CHECK_LANG(lang_by_name(""), "none");
}

static void the_extension_is_what_follows_the_last_dot_of_the_last_component(void **state)
{
    (void)state;
    CHECK_LANG(lang_by_file_name("a/b.py"), "python");
    CHECK_LANG(lang_by_file_name("x.test.mjs"), "javascript");
    CHECK_LANG(lang_by_file_name("run.sh"), "bash");
    CHECK_LANG(lang_by_file_name("dir.py/run"), "none");
    CHECK_LANG(lang_by_file_name("py"), "none");
    CHECK_LANG(lang_by_file_name("a."), "none");
}

static void a_shebang_names_the_interpreter_also_through_env(void **state)
{
    (void)state;
    CHECK_LANG(lang_by_shebang(STR("#!/usr/bin/python3\nprint()")), "python");
    CHECK_LANG(lang_by_shebang(STR("#! /usr/bin/env node\r\n")), "javascript");
    CHECK_LANG(lang_by_shebang(STR("#!/usr/bin/env -S python3.11 -u\n")), "python");
    CHECK_LANG(lang_by_shebang(STR("#!/bin/sh -e")), "bash");
    CHECK_LANG(lang_by_shebang(STR("#!/usr/bin/perl\n")), "none");
}

static void text_without_a_shebang_names_nothing(void **state)
{
    (void)state;
    CHECK_LANG(lang_by_shebang(STR("")), "none");
    CHECK_LANG(lang_by_shebang(STR("#!")), "none");
    CHECK_LANG(lang_by_shebang(STR("#!/usr/bin/env")), "none");
    CHECK_LANG(lang_by_shebang(STR("#!/usr/bin/env -S -i")), "none");
    CHECK_LANG(lang_by_shebang(STR("# python\n")), "none");
    CHECK_LANG(lang_by_shebang(STR("\n#!/bin/sh\n")), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_language_has_the_names_that_people_use),
        cmocka_unit_test(the_extension_is_what_follows_the_last_dot_of_the_last_component),
        cmocka_unit_test(a_shebang_names_the_interpreter_also_through_env),
        cmocka_unit_test(text_without_a_shebang_names_nothing),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
