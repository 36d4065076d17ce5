/* SPDX-License-Identifier: Apache-2.0 */
/* Each test gives its privileges up in a child: the drops cannot be undone. Without root they
 * are skipped. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sys/task.h"

static void need_root(void)
{
    if (geteuid() != 0)
        skip();
}

/* Runs claim() in a child; it holds if the child exits with 0. */
static int in_child(bool (*claim)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(claim() ? 0 : 1);
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static bool bounding_set_is_what_was_kept(void)
{
    struct err e = { 0 };

    return task_limit_bounding(1ULL << CAP_CHOWN, &e) == 0 &&
           prctl(PR_CAPBSET_READ, CAP_CHOWN, 0, 0, 0) == 1 &&
           prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN, 0, 0, 0) == 0;
}

static bool caps_are_gone_for_good(void)
{
    struct err e = { 0 };

    if (task_set_caps(0, &e) < 0 || setuid(1) == 0)
        return false; /* without CAP_SETUID, root cannot even change its uid */
    return task_set_caps(1ULL << CAP_SETUID, &e) == -EPERM && e.code == EPERM;
}

static bool ids_are_all_replaced(void)
{
    struct err e = { 0 };

    if (task_set_ids(54321, 54322, &e) < 0 || getgroups(0, NULL) != 0)
        return false;
    return getuid() == 54321 && getegid() == 54322 && setuid(0) < 0;
}

static bool no_new_privs_holds(void)
{
    struct err e = { 0 };
    return task_no_new_privs(&e) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
}

static bool limit_is_never_raised(void)
{
    struct err e = { 0 };
    struct rlimit now;

    if (task_limit(RLIMIT_NOFILE, 64, &e) < 0 || task_limit(RLIMIT_NOFILE, 4096, &e) < 0)
        return false;
    return getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_max == 64 && now.rlim_cur == 64;
}

#define DROP_TEST(claim)                                                                       \
    static void test_##claim(void **state)                                                     \
    {                                                                                          \
        (void)state;                                                                           \
        need_root();                                                                           \
        assert_int_equal(in_child(claim), 0);                                                  \
    }
DROP_TEST(bounding_set_is_what_was_kept)
DROP_TEST(caps_are_gone_for_good)
DROP_TEST(ids_are_all_replaced)
DROP_TEST(no_new_privs_holds)
DROP_TEST(limit_is_never_raised)

static void clone_gives_a_pidfd_that_kills_and_tells(void **state)
{
    (void)state;
    siginfo_t info = { 0 };
    int pidfd = -1;
    pid_t pid = task_clone(0, &pidfd, -1);

    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    assert_true(pid > 0 && pidfd >= 0);
    assert_int_equal(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(task_kill_pidfd(pidfd, SIGKILL), 0);
    assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
    assert_int_equal(info.si_code, CLD_KILLED);
    assert_int_equal(task_kill_pidfd(pidfd, SIGKILL), -ESRCH);
    assert_int_equal(close(pidfd), 0);
}

static void writing_a_file_that_is_not_there_says_so(void **state)
{
    (void)state;
    assert_int_equal(task_write_file(AT_FDCWD, "/proc/self/no-such-file", "1"), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounding_set_is_what_was_kept),
        cmocka_unit_test(test_caps_are_gone_for_good),
        cmocka_unit_test(test_ids_are_all_replaced),
        cmocka_unit_test(test_no_new_privs_holds),
        cmocka_unit_test(test_limit_is_never_raised),
        cmocka_unit_test(clone_gives_a_pidfd_that_kills_and_tells),
        cmocka_unit_test(writing_a_file_that_is_not_there_says_so),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
