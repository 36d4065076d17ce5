/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/assert.h"
#include "base/auto.h"

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int open_null(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void descriptor_closes_with_its_scope_and_leaves_errno_alone(void **state)
{
    (void)state;
    int number;

    errno = E2BIG;
    {
        AUTO_CLOSE int fd = open_null();
        AUTO_CLOSE int none = -1;
        number = fd;
        (void)none;
        errno = E2BIG;
    }
    assert_int_equal(errno, E2BIG);
    assert_false(is_open(number));
}

static void stolen_descriptor_outlives_its_scope(void **state)
{
    (void)state;
    int kept;

    {
        AUTO_CLOSE int fd = open_null();
        kept = fd_steal(&fd);
        assert_int_equal(fd, -1);
    }
    assert_true(is_open(kept));
    assert_int_equal(close(kept), 0);
}

static void stolen_pointer_outlives_its_scope(void **state)
{
    (void)state;
    char *kept;

    {
        AUTO_FREE char *p = calloc(1, 8);
        AUTO_FREE char *none = NULL;
        (void)none;
        assert_non_null(p);
        kept = ptr_steal(&p);
        assert_null(p);
    }
    kept[7] = 1; /* a sanitizer would object */
    assert_int_equal(kept[0], 0);
    free(kept);
}

static void stream_closes_with_its_scope(void **state)
{
    (void)state;
    int number;

    {
        AUTO_FCLOSE FILE *f = fopen("/dev/null", "re");
        AUTO_FCLOSE FILE *none = NULL;
        (void)none;
        assert_non_null(f);
        number = fileno(f);
    }
    assert_false(is_open(number));
}

static void failed_assertion_aborts_the_process(void **state)
{
    (void)state;
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        (void)dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        ASSERT(pid == 0);
        ASSERT(pid == 1);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptor_closes_with_its_scope_and_leaves_errno_alone),
        cmocka_unit_test(stolen_descriptor_outlives_its_scope),
        cmocka_unit_test(stolen_pointer_outlives_its_scope),
        cmocka_unit_test(stream_closes_with_its_scope),
        cmocka_unit_test(failed_assertion_aborts_the_process),
    };

    (void)cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
