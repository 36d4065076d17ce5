/* SPDX-License-Identifier: Apache-2.0 */
/* On the real hierarchies of this host, under a parent of our own. Without root, or where no
 * controller can be had, skipped. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/num.h"
#include "sys/cgroup.h"
#include "sys/task.h"

#define ID "itest"

static const struct cgroup_limits limits = { .memory_bytes = 64u << 20,
                                             .memory_low_bytes = 16u << 20,
                                             .cpu_millis = 500,
                                             .cpu_shares = 512,
                                             .pids = 20 };
static struct cgroup_host host;
static char parent[64];
static int usable;

static int open_host(void **state)
{
    struct err e = { 0 };

    (void)state;
    (void)snprintf(parent, sizeof parent, "e2b-sandbox-unit-%d", (int)getpid());
    usable = geteuid() == 0 && cgroup_host_open(&host, parent, &e) == 0;
    return 0;
}

static int close_host(void **state)
{
    (void)state;
    if (usable)
        cgroup_host_remove(&host, parent);
    return 0;
}

static uint64_t read_u64(int dir_fd, const char *path)
{
    char text[64] = { 0 };
    uint64_t v = 0;
    AUTO_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n > 0);
    assert_int_equal(num_parse_u64((struct str){ text, (size_t)n - 1 }, 0, UINT64_MAX, &v), 0);
    return v;
}

static void limits_are_in_the_files_of_the_controller_that_has_them(void **state)
{
    struct err e = { 0 };

    (void)state;
    if (!usable)
        skip();
    assert_int_equal(cgroup_create(&host, ID, &limits, &e), 0);
    int memory = host.v2_memory ? host.v2_fd : host.v1_fd[CGROUP_V1_MEMORY];
    int pids = host.v2_pids ? host.v2_fd : host.v1_fd[CGROUP_V1_PIDS];
    assert_int_equal(
        read_u64(memory, host.v2_memory ? ID "/box/memory.max" : ID "/memory.limit_in_bytes"),
        limits.memory_bytes + CGROUP_MONITOR_BYTES);
    assert_int_equal(read_u64(pids, host.v2_pids ? ID "/box/pids.max" : ID "/pids.max"),
                     limits.pids);
    if (!host.v2_cpu)
        assert_int_equal(read_u64(host.v1_fd[CGROUP_V1_CPU], ID "/cpu.cfs_quota_us"), 50000);
    assert_int_equal(cgroup_create(&host, ID, &limits, &e), -EEXIST);
    assert_int_equal(cgroup_remove(&host, ID), 0);
    assert_int_equal(cgroup_remove(&host, ID), 0); /* twice is as good */
}

static void process_that_entered_is_killed_with_the_group(void **state)
{
    struct err e = { 0 };
    int pidfd = -1;
    siginfo_t info = { 0 };

    (void)state;
    if (!usable)
        skip();
    assert_int_equal(cgroup_create(&host, ID, &limits, &e), 0);
    AUTO_CLOSE int box = cgroup_open_box(&host, ID);
    pid_t pid = task_clone(0, &pidfd, box);
    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(cgroup_enter(&host, ID, pid, box >= 0, &e), 0);
    assert_int_equal(cgroup_remove(&host, ID), -EBUSY);
    assert_int_equal(cgroup_kill(&host, ID), 0);
    assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
    assert_int_equal(info.si_status, SIGKILL);
    (void)close(pidfd);
    for (int i = 0; i < 1000 && cgroup_remove(&host, ID) == -EBUSY; i++)
        (void)usleep(1000);
    assert_int_equal(cgroup_remove(&host, ID), 0);
}

static void monitor_gets_the_files_that_it_needs(void **state)
{
    struct err e = { 0 };
    int fds[CGROUP_FILE_N];

    (void)state;
    if (!usable)
        skip();
    assert_int_equal(cgroup_create(&host, ID, &limits, &e), 0);
    cgroup_open_files(&host, ID, fds);
    assert_true(fds[CGROUP_FILE_FREEZE] >= 0 && fds[CGROUP_FILE_EVENTS] >= 0);
    assert_true(fds[CGROUP_FILE_MEMORY] >= 0 && fds[CGROUP_FILE_PIDS] >= 0 &&
                fds[CGROUP_FILE_OOM] >= 0);
    for (int i = 0; i < CGROUP_FILE_N; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    assert_int_equal(cgroup_remove(&host, ID), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_are_in_the_files_of_the_controller_that_has_them),
        cmocka_unit_test(process_that_entered_is_killed_with_the_group),
        cmocka_unit_test(monitor_gets_the_files_that_it_needs),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_host, close_host);
}
