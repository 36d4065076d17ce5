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
#include "base/str.h"
#include "envd/sudo_options.h"
#include "envd/sudo_proto.h"

#define ARGS_MAX 16

/* Splits at blanks; the words stay valid until the next call. */
static int parse(const char *line, struct sudo_options *o, struct err *e)
{
    static char text[256];
    static char *argv[ARGS_MAX + 1];
    int argc = 0;

    assert_int_equal(str_copy(str_from(line), text, sizeof text), 0);
    for (char *at = text; *at && argc < ARGS_MAX;) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at)
            *at++ = '\0';
    }
    argv[argc] = NULL;
    return sudo_options_parse(argc, argv, o, e);
}

static struct sudo_options o;
static struct err e;

static void command_is_what_follows_options_and_assignments(void **state)
{
    (void)state;
    assert_int_equal(parse("sudo -n -u user A=1 B= ls -l C=3", &o, &e), 0);
    assert_string_equal(o.user, "user");
    assert_int_equal(o.n_vars, 2);
    assert_string_equal(o.vars[1], "B=");
    assert_int_equal(o.n_args, 3);
    assert_string_equal(o.args[0], "ls");
    assert_string_equal(o.args[2], "C=3");
    assert_int_equal(o.mode, SUDO_RUN);
}

static void user_is_root_unless_named_in_any_spelling(void **state)
{
    (void)state;
    static const char *const named[] = { "sudo -u x id", "sudo -ux id", "sudo -nux id",
                                         "sudo --user x id", "sudo --user=x id" };
    assert_int_equal(parse("sudo id", &o, &e), 0);
    assert_string_equal(o.user, "root");
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        assert_int_equal(parse(named[i], &o, &e), 0);
        assert_string_equal(o.user, "x");
        assert_string_equal(o.args[0], "id");
    }
}

static void flags_are_told_in_letters_and_words(void **state)
{
    (void)state;
    assert_int_equal(parse("sudo -EHS id", &o, &e), 0);
    assert_int_equal(o.flags, SUDO_KEEP_ENV | SUDO_SET_HOME);
    assert_int_equal(parse("sudo --preserve-env=A,B --login", &o, &e), 0);
    assert_int_equal(o.flags, SUDO_KEEP_ENV | SUDO_LOGIN);
    assert_int_equal(parse("sudo -s", &o, &e), 0);
    assert_int_equal(o.flags, SUDO_SHELL);
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    assert_int_equal(parse("sudo -- -n", &o, &e), 0);
    assert_string_equal(o.args[0], "-n");
    assert_int_equal(parse("sudo -- A=1 id", &o, &e), 0);
    assert_int_equal(o.n_vars, 1);
}

static void no_command_is_needed_only_to_ask_or_for_a_shell(void **state)
{
    (void)state;
    assert_int_equal(parse("sudo", &o, &e), -EINVAL);
    assert_int_equal(parse("sudo -n", &o, &e), -EINVAL);
    assert_int_equal(parse("sudo A=1", &o, &e), -EINVAL);
    assert_int_equal(parse("sudo -v", &o, &e), 0);
    assert_int_equal(o.mode, SUDO_VALIDATE);
    assert_int_equal(parse("sudo -k id", &o, &e), 0);
    assert_int_equal(o.mode, SUDO_RUN);
    assert_int_equal(parse("sudo -l", &o, &e), 0);
    assert_int_equal(o.mode, SUDO_LIST);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    static const char *const v[][2] = { { "sudo -Z id", "unknown option '-Z'" },
                                        { "sudo --nothing id", "unknown option '--nothing'" },
                                        { "sudo -u", "option '-u' needs a value" },
                                        { "sudo --user", "option '--user' needs a value" },
                                        { "sudo --user= id",
                                          "the name of the user is empty or too long" } };
    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        assert_int_equal(parse(v[i][0], &o, &e), -EINVAL);
        assert_string_equal(e.text, v[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_is_what_follows_options_and_assignments),
        cmocka_unit_test(user_is_root_unless_named_in_any_spelling),
        cmocka_unit_test(flags_are_told_in_letters_and_words),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(no_command_is_needed_only_to_ask_or_for_a_shell),
        cmocka_unit_test(mistakes_are_named),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
