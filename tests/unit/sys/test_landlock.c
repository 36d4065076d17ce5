/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "sys/landlock.h"

static const struct landlock_grant renames = { .fd = -1, .fs = LL_FS_REFER };
static const struct landlock_rules all = { .fs = LL_FS_ALL,
                                           .net = LL_NET_BIND_TCP | LL_NET_CONNECT,
                                           .scope = LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL };

static void an_older_abi_gets_what_it_knows(void **state)
{
    static const struct {
        int abi;
        uint64_t fs, net, scope;
    } want[] = {
        { 0, 0, 0, 0 },
        { 1, (1 << 13) - 1, 0, 0 },
        { 2, (1 << 14) - 1, 0, 0 },
        { 3, (1 << 15) - 1, 0, 0 },
        { 4, (1 << 15) - 1, 3, 0 },
        { 5, (1 << 16) - 1, 3, 0 },
        { 6, (1 << 16) - 1, 3, 3 },
        { 99, (1 << 16) - 1, 3, 3 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        struct landlock_rules r = landlock_fit(&all, want[i].abi);
        assert_int_equal(r.fs, want[i].fs);
        assert_int_equal(r.net, want[i].net);
        assert_int_equal(r.scope, want[i].scope);
    }
}

/* ABI 1 forbids renames between directories as soon as anything is restricted. */
static void abi_1_restricts_no_files_of_who_wants_to_rename(void **state)
{
    struct landlock_rules want = all;

    (void)state;
    want.grant = &renames;
    want.n_grants = 1;
    assert_int_equal(landlock_fit(&want, 1).fs, 0);
    assert_int_not_equal(landlock_fit(&want, 2).fs, 0);
}

/* In a child: the number that fn returns. */
static int in_child(int (*fn)(void))
{
    int status = -1;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0)
        _exit(fn());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + status;
}

static int restrict_all(void)
{
    struct err e = { 0 };

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -1;
    return landlock_restrict(&all, &e);
}

static int opens_the_root(void)
{
    AUTO_CLOSE int control = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int abi = restrict_all();
    AUTO_CLOSE int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (control < 0 || abi < 1)
        return 100;
    return fd < 0 ? errno : 0;
}

static int signals_its_parent(void)
{
    if (kill(getppid(), 0) < 0 || restrict_all() < 6)
        return 100;
    return kill(getppid(), 0) < 0 ? errno : 0;
}

static int mounts(void)
{
    if (restrict_all() < 1)
        return 100;
    return mount(NULL, "/", NULL, MS_PRIVATE, NULL) < 0 ? errno : 0;
}

static void what_is_refused_is_refused_by_this_kernel(void **state)
{
    int abi = landlock_abi();

    (void)state;
    if (abi < 1)
        skip();
    assert_int_equal(in_child(opens_the_root), EACCES);
    assert_int_equal(in_child(mounts), EPERM);
    if (abi >= 6)
        assert_int_equal(in_child(signals_its_parent), EPERM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_older_abi_gets_what_it_knows),
        cmocka_unit_test(abi_1_restricts_no_files_of_who_wants_to_rename),
        cmocka_unit_test(what_is_refused_is_refused_by_this_kernel),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
