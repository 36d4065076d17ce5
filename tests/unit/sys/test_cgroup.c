/* SPDX-License-Identifier: Apache-2.0 */
/* On the real hierarchies of this host, under a parent of our own. Without root, or where no
 * controller can be had, skipped. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/auto.h"
#include "base/num.h"
#include "base/str.h"
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

/* A child that sits in the sandbox's groups. */
static pid_t put_child(const struct cgroup_host *h, int *pidfd)
{
    struct err e = { 0 };
    AUTO_CLOSE int box = cgroup_open_box(h, ID);
    pid_t pid = task_clone(0, pidfd, box);

    if (pid == 0) {
        (void)pause();
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(cgroup_enter(h, ID, pid, box >= 0, &e), 0);
    return pid;
}

static void end_child(const struct cgroup_host *h, pid_t pid, int pidfd)
{
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void)close(pidfd);
    for (int i = 0; i < 1000 && cgroup_remove(h, ID) == -EBUSY; i++)
        (void)usleep(1000);
    assert_int_equal(cgroup_remove(h, ID), 0);
}

/* The path of the group of a process in the hierarchy of a v1 controller, or of v2 ("0:"). */
static bool is_in_group(pid_t pid, const char *hierarchy, const char *group)
{
    char path[64], text[4096];

    (void)snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text - 1);
    assert_true(n > 0);
    text[n] = 0;
    struct str rest = { text, (size_t)n }, line, number, names, where;
    while (rest.n > 0) {
        (void)str_cut(rest, '\n', &line, &rest);
        (void)str_cut(line, ':', &number, &names);
        (void)str_cut(names, ':', &names, &where);
        if (str_eq(names, str_from(hierarchy)))
            return str_ends(where, str_from(group));
    }
    return false;
}

static void
the_monitor_leaves_the_groups_of_memory_and_processes_and_stays_in_that_of_cpu(void **state)
{
    struct err e = { 0 };
    int pidfd = -1;

    (void)state;
    if (!usable)
        skip();
    assert_int_equal(cgroup_create(&host, ID, &limits, &e), 0);
    pid_t pid = put_child(&host, &pidfd);
    const char *memory = host.v2_memory ? "" : "memory";
    assert_true(is_in_group(pid, memory, host.v2_memory ? ID "/box" : ID));
    assert_int_equal(cgroup_move_monitor(&host, ID, pid, &e), 0);
    assert_false(is_in_group(pid, memory, host.v2_memory ? ID "/box" : ID));
    if (!host.v2_cpu)
        assert_true(is_in_group(pid, "cpu", ID) || is_in_group(pid, "cpu,cpuacct", ID));
    end_child(&host, pid, pidfd);
}

/* The hybrid host's own v1 hierarchies, as a host without v2 has them. */
static void a_host_with_v1_alone_freezes_kills_and_limits(void **state)
{
    struct cgroup_host old = host;
    struct err e = { 0 };
    int fds[CGROUP_FILE_N], pidfd = -1;
    siginfo_t info = { 0 };

    (void)state;
    old.v2_fd = -1;
    old.v2_memory = old.v2_cpu = old.v2_pids = old.v2_io = false;
    if (!usable || host.v1_fd[CGROUP_V1_FREEZER] < 0 || host.v1_fd[CGROUP_V1_MEMORY] < 0)
        skip();
    assert_string_equal(cgroup_host_kind(&old), "v1");
    assert_int_equal(cgroup_create(&old, ID, &limits, &e), 0);
    assert_int_equal(cgroup_open_box(&old, ID), -1);
    pid_t pid = put_child(&old, &pidfd);
    assert_true(is_in_group(pid, "freezer", ID));
    cgroup_open_files(&old, ID, fds);
    assert_int_equal(write(fds[CGROUP_FILE_FREEZE], "FROZEN", 6), 6);
    assert_int_equal(cgroup_kill(&old, ID), 0); /* thaws it first */
    assert_int_equal(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED), 0);
    assert_int_equal(info.si_status, SIGKILL);
    for (int i = 0; i < CGROUP_FILE_N; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    (void)close(pidfd);
    for (int i = 0; i < 1000 && cgroup_remove(&old, ID) == -EBUSY; i++)
        (void)usleep(1000);
    assert_int_equal(cgroup_remove(&old, ID), 0);
    assert_int_equal(cgroup_remove(&host, ID), 0);
}

static void the_cap_over_all_is_set_raised_and_taken_off(void **state)
{
    struct err e = { 0 };

    (void)state;
    if (!usable)
        skip();
    int memory = host.v2_memory ? host.v2_fd : host.v1_fd[CGROUP_V1_MEMORY];
    const char *file = host.v2_memory ? "memory.max" : "memory.limit_in_bytes";
    assert_int_equal(cgroup_host_limit(&host, 100u << 20, 50, &e), 0);
    assert_int_equal(read_u64(memory, file), 100u << 20);
    assert_int_equal(cgroup_host_limit(&host, 200u << 20, 0, &e), 0);
    assert_int_equal(read_u64(memory, file), 200u << 20);
    assert_int_equal(cgroup_host_limit(&host, 0, 0, &e), 0);
    if (!host.v2_memory) /* v2 says "max" */
        assert_true(read_u64(memory, file) > UINT64_C(1) << 60);
}

static void a_disk_is_named_by_its_number_and_what_is_none_is_refused(void **state)
{
    struct err e = { 0 };
    struct cgroup_limits slow = limits;
    AUTO_CLOSE int proc = open("/proc", O_PATH | O_CLOEXEC);
    AUTO_CLOSE int here = open(".", O_PATH | O_CLOEXEC);

    (void)state;
    if (!usable)
        skip();
    assert_int_equal(cgroup_host_set_disk(&host, proc), -ENODEV);
    assert_string_equal(host.disk, "");
    if (cgroup_host_set_disk(&host, here) < 0)
        skip(); /* this tree lies on no block device */
    slow.io_bytes_per_s = 1u << 20;
    assert_int_equal(cgroup_create(&host, ID, &slow, &e), 0);
    assert_int_equal(cgroup_remove(&host, ID), 0);
    host.disk[0] = 0;
}

static void a_number_is_found_by_its_key_or_is_the_first_line(void **state)
{
    (void)state;
    assert_int_equal(cgroup_number(STR("42\n"), ""), 42);
    assert_int_equal(cgroup_number(STR("oom 7\noom_kill 3\n"), "oom_kill"), 3);
    assert_int_equal(cgroup_number(STR("oom_kill_disable 1\n"), "oom_kill"), 0);
    assert_int_equal(cgroup_number(STR("oom_kill max\n"), "oom_kill"), 0);
    assert_int_equal(cgroup_number(STR(""), "oom_kill"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_found_by_its_key_or_is_the_first_line),
        cmocka_unit_test(limits_are_in_the_files_of_the_controller_that_has_them),
        cmocka_unit_test(process_that_entered_is_killed_with_the_group),
        cmocka_unit_test(monitor_gets_the_files_that_it_needs),
        cmocka_unit_test(
            the_monitor_leaves_the_groups_of_memory_and_processes_and_stays_in_that_of_cpu),
        cmocka_unit_test(a_host_with_v1_alone_freezes_kills_and_limits),
        cmocka_unit_test(the_cap_over_all_is_set_raised_and_taken_off),
        cmocka_unit_test(a_disk_is_named_by_its_number_and_what_is_none_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, open_host, close_host);
}
