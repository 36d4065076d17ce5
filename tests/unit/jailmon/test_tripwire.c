/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "base/clock.h"
#include "jailmon/tripwire.h"
#include "sys/filter.h"

#define T0 (1000 * NS_PER_S)

static void one_kind_alone_is_never_an_alarm(void **state)
{
    struct tripwire t = { 0 };

    (void)state;
    for (uint64_t i = 0; i < 1000; i++)
        assert_false(tripwire_count(&t, SYS_io_uring_setup, T0 + i * NS_PER_MS));
    assert_int_equal(t.count, 1000);
    assert_int_equal(t.alarms, 0);
}

static void two_kinds_within_a_minute_are_one_alarm(void **state)
{
    struct tripwire t = { 0 };

    (void)state;
    assert_false(tripwire_count(&t, SYS_io_uring_setup, T0));
    assert_true(tripwire_count(&t, SYS_bpf, T0 + 59 * NS_PER_S));
    assert_false(tripwire_count(&t, SYS_mount, T0 + 60 * NS_PER_S)); /* said already */
    assert_int_equal(t.alarms, 1);
    assert_true(tripwire_count(&t, SYS_bpf, T0 + 119 * NS_PER_S)); /* mount is 59 s old */
    assert_int_equal(t.alarms, 2);
}

static void two_kinds_a_minute_apart_are_none(void **state)
{
    struct tripwire t = { 0 };

    (void)state;
    assert_false(tripwire_count(&t, SYS_io_uring_setup, T0));
    assert_false(tripwire_count(&t, SYS_bpf, T0 + 60 * NS_PER_S));
    assert_int_equal(t.alarms, 0);
}

static void every_kind_has_room(void **state)
{
    (void)state;
    assert_int_equal(filter_tripwire_at(TRIPWIRE_KINDS_MAX), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_kind_alone_is_never_an_alarm),
        cmocka_unit_test(two_kinds_within_a_minute_are_one_alarm),
        cmocka_unit_test(two_kinds_a_minute_apart_are_none),
        cmocka_unit_test(every_kind_has_room),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
