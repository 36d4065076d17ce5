/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/task.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"

pid_t task_clone(uint64_t flags, int *pidfd, int cgroup_fd)
{
    int fd = -1;
    unsigned long long all = flags | CLONE_PIDFD;
    struct clone_args args = { .pidfd = (uintptr_t)&fd, .exit_signal = SIGCHLD };

    if (cgroup_fd >= 0) {
        all |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned long long)cgroup_fd;
    }
    args.flags = all;
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0)
        return -errno;
    if (pid > 0)
        *pidfd = fd; /* pidfds are CLOEXEC from birth */
    return (pid_t)pid;
}

int task_kill_pidfd(int pidfd, int sig)
{
    return syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

int task_open_pidfd(pid_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : (int)fd;
}

int task_limit_bounding(uint64_t keep, struct err *e)
{
    for (int cap = 0; cap < 64; cap++) {
        int now = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        bool wanted = (keep >> cap) & 1;
        if (now < 0)
            return 0; /* past the last capability of this kernel */
        if (now == 1 && !wanted && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return err_set(e, errno, "drop capability %d from the bounding set", cap);
        if (!wanted && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) != 0)
            return err_say(e, EPERM, "capability %d is still in the bounding set", cap);
    }
    return 0;
}

static int caps_get(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    return syscall(SYS_capget, &head, data) < 0 ? -errno : 0;
}

int task_set_caps(uint64_t caps, struct err *e)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct want[2] = {
        { .effective = (uint32_t)caps, .permitted = (uint32_t)caps },
        { .effective = (uint32_t)(caps >> 32), .permitted = (uint32_t)(caps >> 32) },
    };
    struct __user_cap_data_struct got[2] = { 0 };

    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
        return err_set(e, errno, "clear the ambient capabilities");
    if (syscall(SYS_capset, &head, want) < 0)
        return err_set(e, errno, "set capabilities");
    int rc = caps_get(got);
    if (rc < 0)
        return err_set(e, -rc, "read capabilities back");
    if (memcmp(got, want, sizeof want) != 0)
        return err_say(e, EPERM, "the capabilities are not those that were set");
    return 0;
}

int task_set_ids(uid_t uid, gid_t gid, struct err *e)
{
    uid_t ru, eu, su;
    gid_t rg, eg, sg;

    if (setgroups(0, NULL) < 0)
        return err_set(e, errno, "drop supplementary groups");
    if (setresgid(gid, gid, gid) < 0)
        return err_set(e, errno, "set gid %u", gid);
    if (setresuid(uid, uid, uid) < 0)
        return err_set(e, errno, "set uid %u", uid);
    /* setfsuid cannot report failure, so the state is read back (as bubblewrap does). */
    if (getresuid(&ru, &eu, &su) < 0 || getresgid(&rg, &eg, &sg) < 0)
        return err_set(e, errno, "read the ids back");
    if (ru != uid || eu != uid || su != uid || rg != gid || eg != gid || sg != gid ||
        (uid_t)setfsuid((uid_t)-1) != uid || (gid_t)setfsgid((gid_t)-1) != gid ||
        getgroups(0, NULL) != 0)
        return err_say(e, EPERM, "the ids are not %u:%u after setting them", uid, gid);
    return 0;
}

int task_no_new_privs(struct err *e)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(e, errno, "set no_new_privs");
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return err_say(e, EPERM, "no_new_privs is not set after setting it");
    return 0;
}

int task_limit(int resource, uint64_t value, struct err *e)
{
    struct rlimit now;

    if (getrlimit((__rlimit_resource_t)resource, &now) < 0)
        return err_set(e, errno, "read resource limit %d", resource);
    if (now.rlim_max != RLIM_INFINITY && value > now.rlim_max)
        value = now.rlim_max;
    struct rlimit want = { value, value };
    if (setrlimit((__rlimit_resource_t)resource, &want) < 0)
        return err_set(e, errno, "set resource limit %d", resource);
    return 0;
}

int task_write_file(int dir_fd, const char *path, const char *text)
{
    AUTO_CLOSE int fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);
    size_t n = strlen(text);

    if (fd < 0)
        return -errno;
    ssize_t w = write(fd, text, n);
    if (w < 0)
        return -errno;
    return (size_t)w == n ? 0 : -EIO;
}
