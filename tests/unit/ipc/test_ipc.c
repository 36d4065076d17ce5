/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/auto.h"
#include "ipc/ids.h"
#include "ipc/ipc.h"
#include "ipc/warden_proto.h"

static int pair[2];

static int setup(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair);
}

static int teardown(void **state)
{
    (void)state;
    return close(pair[0]) | close(pair[1]);
}

static size_t open_fds(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void the_version_is_told_of_a_message_of_any_size_and_nothing_is_taken(void **state)
{
    const uint32_t words[5] = { 1, 7, 3, 4, 5 };
    uint32_t got[5];

    (void)state;
    assert_int_equal(ipc_peek_version(pair[1]), 0); /* none is there */
    assert_int_equal(ipc_send(pair[0], words, sizeof words, NULL, 0), 0);
    assert_int_equal(ipc_peek_version(pair[1]), 7);
    assert_int_equal(ipc_peek_version(pair[1]), 7);
    assert_int_equal(ipc_recv(pair[1], got, sizeof got, NULL, 0, NULL), 0);
    assert_memory_equal(got, words, sizeof got);
    assert_int_equal(ipc_send(pair[0], words, 4, NULL, 0), 0);
    assert_int_equal(ipc_peek_version(pair[1]), 0); /* too short to have one */
    ipc_discard(pair[1]);

    size_t before = open_fds();
    assert_int_equal(ipc_send(pair[0], words, sizeof words, &pair[0], 1), 0);
    ipc_discard(pair[1]);
    assert_int_equal(open_fds(), before); /* nor a descriptor */
    assert_int_equal(ipc_recv(pair[1], got, sizeof got, NULL, 0, NULL), -EAGAIN);
}

static void message_arrives_whole_with_its_descriptors_close_on_exec(void **state)
{
    (void)state;
    struct warden_msg out = { .type = WARDEN_SPAWN, .request_id = 7 };
    struct warden_msg in = { 0 };
    int fds[2];
    size_t n = 9;

    assert_int_equal(ipc_send(pair[0], &out, sizeof out, &pair[0], 1), 0);
    assert_int_equal(ipc_recv(pair[1], &in, sizeof in, fds, 2, &n), 0);
    assert_memory_equal(&in, &out, sizeof in);
    assert_int_equal(n, 1);
    assert_int_equal(fds[1], -1);
    assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
    assert_int_equal(close(fds[0]), 0);
}

static void wrong_size_is_refused_and_leaks_no_descriptor(void **state)
{
    (void)state;
    char big[64] = { 0 };
    char in[32];
    int fds[1];
    size_t before = open_fds();

    assert_int_equal(ipc_send(pair[0], big, 33, &pair[0], 1), 0);
    assert_int_equal(ipc_recv(pair[1], in, 32, fds, 1, NULL), -EPROTO);
    assert_int_equal(ipc_send(pair[0], big, 31, &pair[0], 1), 0);
    assert_int_equal(ipc_recv(pair[1], in, 32, fds, 1, NULL), -EPROTO);
    assert_int_equal(open_fds(), before);
}

static void more_descriptors_than_asked_for_are_refused_and_closed(void **state)
{
    (void)state;
    char in[4];
    int two[2] = { pair[0], pair[1] };
    int fds[1];
    size_t before = open_fds();

    assert_int_equal(ipc_send(pair[0], "abcd", 4, two, 2), 0);
    assert_int_equal(ipc_recv(pair[1], in, 4, fds, 1, NULL), -EPROTO);
    assert_int_equal(ipc_send(pair[0], "abcd", 4, two, 1), 0);
    assert_int_equal(ipc_recv(pair[1], in, 4, NULL, 0, NULL), -EPROTO);
    assert_int_equal(open_fds(), before);
}

static void end_of_file_and_empty_queue_are_told_apart(void **state)
{
    (void)state;
    char in[4];

    assert_int_equal(ipc_recv(pair[1], in, 4, NULL, 0, NULL), -EAGAIN);
    assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
    assert_int_equal(ipc_recv(pair[1], in, 4, NULL, 0, NULL), -ECONNRESET);
}

static void sandbox_id_has_one_spelling(void **state)
{
    (void)state;
    struct sandbox_id id = { "iabc123def456ghi789j" };
    assert_true(sandbox_id_ok(&id));
    id.text[23] = 'x'; /* after the NUL: still a different name on the wire */
    assert_false(sandbox_id_ok(&id));
    id = (struct sandbox_id){ "iabc123def456ghi789" };
    assert_false(sandbox_id_ok(&id));
    id = (struct sandbox_id){ "iabc123def456ghi78/." };
    assert_false(sandbox_id_ok(&id));
    id = (struct sandbox_id){ "Iabc123def456ghi789j" };
    assert_false(sandbox_id_ok(&id));
}

static void every_step_and_cause_has_words(void **state)
{
    (void)state;
    for (unsigned s = 0; s < STEP_MAX; s++)
        assert_string_not_equal(sandbox_step_text((enum sandbox_step)s), "an unknown step");
    for (unsigned c = CAUSE_KILLED; c < CAUSE_MAX; c++)
        assert_string_not_equal(sandbox_cause_text((enum sandbox_cause)c), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            the_version_is_told_of_a_message_of_any_size_and_nothing_is_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(
            message_arrives_whole_with_its_descriptors_close_on_exec, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_size_is_refused_and_leaks_no_descriptor, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(more_descriptors_than_asked_for_are_refused_and_closed,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(end_of_file_and_empty_queue_are_told_apart, setup,
                                        teardown),
        cmocka_unit_test(sandbox_id_has_one_spelling),
        cmocka_unit_test(every_step_and_cause_has_words),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
