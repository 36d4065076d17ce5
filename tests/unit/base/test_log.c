/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/log.h"

static char line[4096];

/* What `statement` writes on stderr is in `line`. */
#define CAPTURE(statement)                                                                     \
    do {                                                                                       \
        int p_[2];                                                                             \
        int old_ = dup(STDERR_FILENO);                                                         \
        assert_int_equal(pipe2(p_, O_CLOEXEC | O_NONBLOCK), 0);                                \
        assert_true(dup2(p_[1], STDERR_FILENO) >= 0);                                          \
        statement;                                                                             \
        assert_true(dup2(old_, STDERR_FILENO) >= 0);                                           \
        ssize_t n_ = read(p_[0], line, sizeof line - 1);                                       \
        line[n_ > 0 ? n_ : 0] = 0;                                                             \
        (void)close(p_[0]), (void)close(p_[1]), (void)close(old_);                             \
    } while (0)

static int setup(void **state)
{
    (void)state;
    log_init("test", LOG_LEVEL_INFO);
    return 0;
}

static void an_event_is_one_line_of_logfmt(void **state)
{
    (void)state;
    CAPTURE(log_warn("thing_done", "id=%d ms=%u", 7, 12u));
    assert_memory_equal(line, "ts=20", 5);
    assert_string_equal(strchr(line, ' '),
                        " level=warn proc=test event=thing_done id=7 ms=12\n");
}

static void what_is_more_talkative_than_the_level_is_not_written(void **state)
{
    (void)state;
    CAPTURE(log_debug("x", "id=%d", 1));
    assert_string_equal(line, "");
    CAPTURE(log_info("x", "id=%d", 1));
    assert_true(strlen(line) > 0);
}

static void no_value_can_begin_another_line(void **state)
{
    (void)state;
    CAPTURE(log_error("x", "v=%s", "a\nts=forged\r\x1b[2J\x7f"));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
    assert_non_null(strstr(line, " v=a?ts=forged??[2J?\n"));
}

static void a_long_line_is_cut_at_one_kibibyte_and_says_so(void **state)
{
    (void)state;
    CAPTURE(log_info("x", "v=%01000d", 1));
    assert_int_equal(strlen(line), 1024);
    assert_string_equal(line + 1024 - 6, "00...\n");
    CAPTURE(log_info("x", "v=%01000d w=%0900d", 1, 2));
    assert_int_equal(strlen(line), 1024);
}

static void quote_escapes_what_could_be_misread(void **state)
{
    (void)state;
    char out[LOG_QUOTE_MAX];

    assert_string_equal(log_quote(STR("a b=\"c\\\n\x01\xff\0"), out),
                        "\"a b=\\\"c\\\\\\n\\x01\\xFF\\x00\"");
    assert_string_equal(log_quote(str_from(NULL), out), "\"\"");
}

static void quote_is_cut_to_fit_whatever_it_escapes(void **state)
{
    (void)state;
    char out[LOG_QUOTE_MAX + 1];
    char in[400];

    static const char each[] = { 'a', '"', '\n', '\x01' };
    for (size_t i = 0; i < ARRAY_LEN(each); i++) {
        memset(in, each[i], sizeof in);
        out[LOG_QUOTE_MAX] = '!';
        (void)log_quote((struct str){ in, sizeof in }, out);
        size_t n = strlen(out);
        assert_in_range(n, LOG_QUOTE_MAX - 12, LOG_QUOTE_MAX - 1);
        assert_int_equal(out[n - 1], '"');
        assert_int_equal(out[LOG_QUOTE_MAX], '!');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_event_is_one_line_of_logfmt, setup),
        cmocka_unit_test_setup(what_is_more_talkative_than_the_level_is_not_written, setup),
        cmocka_unit_test_setup(no_value_can_begin_another_line, setup),
        cmocka_unit_test_setup(a_long_line_is_cut_at_one_kibibyte_and_says_so, setup),
        cmocka_unit_test_setup(quote_escapes_what_could_be_misread, setup),
        cmocka_unit_test_setup(quote_is_cut_to_fit_whatever_it_escapes, setup),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
