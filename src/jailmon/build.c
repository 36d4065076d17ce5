/* SPDX-License-Identifier: Apache-2.0 */
#include "jailmon/build.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "base/str.h"
#include "ipc/ipc.h"
#include "ipc/monitor_proto.h"
#include "jail/init.h"
#include "sys/filter.h"
#include "sys/landlock.h"
#include "sys/task.h"

/* The sandbox has the ids 0..65534 of our range; the last one is ours, and no process of the
 * sandbox can take it. */
#define SANDBOX_IDS "0 0 65535\n"
#define MONITOR_ID  65535u
#define READY_MS    8000

static const struct jail_steps steps = {
    .mount_private = STEP_MOUNT_PRIVATE,
    .root_tmpfs = STEP_ROOT_TMPFS,
    .lower = STEP_LOWER,
    .overlay = STEP_OVERLAY,
    .proc = STEP_PROC,
    .dev = STEP_DEV,
    .sys = STEP_SYS,
    .run = STEP_RUN,
    .mask = STEP_MASK,
    .pivot = STEP_PIVOT,
    .cgroup_ns = STEP_CGROUP_NS,
    .rlimits = STEP_RLIMITS,
    .caps = STEP_CAPS,
    .no_new_privs = STEP_NO_NEW_PRIVS,
    .seccomp = STEP_SECCOMP,
    .agent_exec = STEP_AGENT_EXEC,
    .landlock = STEP_LANDLOCK,
};
_Static_assert((int)JAIL_PROFILE_STRICT == PROFILE_STRICT &&
                   (int)JAIL_PROFILE_DEBUG == PROFILE_DEBUG,
               "the library and the protocol number the profiles alike");

/* A network of its own with nothing but lo. The namespace belongs to our user namespace, not to
 * the sandbox's: root inside can neither configure it nor open raw sockets in it. We stay in it
 * for good; that is how CONNECT gets its sockets. */
static int make_network(int *route_fd)
{
    struct ifreq ifr = { .ifr_name = "lo" };

    if (unshare(CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) < 0)
        return -errno;
    AUTO_CLOSE int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0 || ioctl(s, SIOCGIFFLAGS, &ifr) < 0)
        return -errno;
    ifr.ifr_flags = (short)(ifr.ifr_flags | IFF_UP);
    if (ioctl(s, SIOCSIFFLAGS, &ifr) < 0)
        return -errno;
    /* Netlink looks at who opened a socket and at who sends: this one, opened while we are root
     * of the namespace's owner, lets netd set the network up later, and nobody else. */
    *route_fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (*route_fd < 0)
        return -errno;
    /* Root inside has no capability over this namespace, so low ports are opened by a setting
     * of the namespace. */
    int rc = task_write_file(AT_FDCWD, "/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    if (rc == 0)
        rc = task_write_file(AT_FDCWD, "/proc/sys/net/ipv4/ping_group_range", "0 65534");
    return rc;
}

/* inotify instances are counted per user namespace and owner, all the way up: at the top all
 * sandboxes are root's together, with 128 unless the host says otherwise. One sandbox may take
 * so many (ours is the namespace in which its whole range is one owner's), and no more. */
static int bound_inotify(void)
{
    int rc = task_write_file(AT_FDCWD, "/proc/sys/user/max_inotify_instances", "64");
    if (rc == 0)
        rc = task_write_file(AT_FDCWD, "/proc/sys/user/max_inotify_watches", "16384");
    return rc;
}

/* envd's listening socket exists before envd: a connection made at once waits in its queue, so
 * nobody has to poll for readiness. */
static int open_agent_socket(int *out)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(MONITOR_AGENT_PORT) };
    AUTO_CLOSE int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(s, (const struct sockaddr *)&a, sizeof a) < 0 ||
        listen(s, JAILMON_AGENT_BACKLOG) < 0)
        return -errno;
    *out = fd_steal(&s);
    return 0;
}

static _Noreturn void run_init(const struct sandbox *s, int go_fd, int report_fd,
                               int agent_socket)
{
    struct jail_init in = {
        .lower_fd = JAILMON_FD_LOWER,
        .agent_fd = JAILMON_FD_AGENT,
        .agent_socket_fd = agent_socket,
        .report_fd = report_fd,
        .root_ready = s->start.root_ready == 1,
        .disk_bytes = s->start.limits.disk_bytes,
        .disk_inodes = s->start.limits.disk_inodes,
        .pids = s->start.limits.pids,
        .profile = (enum jail_profile)s->start.policy.profile,
        .disk_fd = s->start.policy.flags & SANDBOX_DISK_FILE ? JAILMON_FD_LAYER : -1,
        .user_namespaces = (s->start.policy.flags & SANDBOX_USER_NAMESPACES) != 0,
    };
    struct jail_report failed = { .kind = JAIL_FAILED };
    struct err e = { 0 };
    uint32_t step = STEP_INIT_ID_MAP;
    char go;

    if (read(go_fd, &go, 1) != 1) /* end of file: the monitor is gone before it began */
        _exit(1);
    int rc =
        task_set_ids(0, 0, &e); /* so far we are "nobody": no id was mapped when we were born */
    if (rc == 0)
        rc = jail_init_run(&in, &steps, &step);
    failed.step = step;
    failed.error = -rc;
    (void)ipc_send(in.report_fd, &failed, sizeof failed, NULL,
                   0); /* nobody else is left to tell */
    _exit(1);
}

/* The pid of a child as /proc has it, which is the host's and not of our pid namespace. */
static pid_t pid_in_proc(int pidfd)
{
    char path[64], text[1024];
    struct str line, rest;
    uint64_t pid;

    (void)snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text);
    if (n < 0)
        return -errno;
    for (rest = (struct str){ text, (size_t)n }; str_cut(rest, '\n', &line, &rest);)
        if (str_starts(line, STR("Pid:\t")))
            return num_parse_u64(str_sub(line, 5, line.n), 1, INT32_MAX, &pid) == 0 ? (pid_t)pid
                                                                                    : -ESRCH;
    return -ESRCH;
}

static int write_map(pid_t pid, const char *file)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    return task_write_file(AT_FDCWD, path, SANDBOX_IDS);
}

/* -ECONNRESET at end of file, -ETIMEDOUT if init says nothing. *fd is the caller's. */
static int next_report(int report_fd, struct jail_report *report, int *fd)
{
    struct pollfd p = { report_fd, POLLIN, 0 };
    int n = poll(&p, 1, READY_MS);

    if (n <= 0)
        return n < 0 ? -errno : -ETIMEDOUT;
    return ipc_recv(report_fd, report, sizeof *report, fd, 1, NULL);
}

/* Each thing is sent once, and the tenant does not run yet. On failure *step is what init says. */
static int take_report(struct sandbox *s, const struct jail_report *report, int *fd,
                       enum sandbox_step *step)
{
    switch (report->kind) {
    case JAIL_FAILED:
        *step = report->step < STEP_MAX ? (enum sandbox_step)report->step : STEP_NONE;
        return report->error > 0 ? -report->error : -EPROTO;
    case JAIL_SENDS_LAYER:
        if (s->layer_fd >= 0 || *fd < 0)
            return -EPROTO;
        s->layer_fd = fd_steal(fd);
        return 0;
    case JAIL_SENDS_LISTENER:
        if (s->listener_fd >= 0 || *fd < 0)
            return -EPROTO;
        s->listener_fd = fd_steal(fd);
        return 0;
    case JAIL_SENDS_LANDLOCK:
        s->landlock_abi = report->number;
        return 0;
    default:
        return -EPROTO;
    }
}

/* Reads init's messages until end of file, which is execve's doing (the socket is
 * close-on-exec). */
static int read_reports(struct sandbox *s, enum sandbox_step *step)
{
    for (;;) {
        struct jail_report report = { 0 };
        AUTO_CLOSE int fd = -1;

        int rc = next_report(s->report_fd, &report, &fd);
        if (rc == -ETIMEDOUT)
            *step = STEP_TIMEOUT;
        if (rc == -ECONNRESET)
            return s->layer_fd >= 0 && s->listener_fd >= 0 ? 0 : -EPIPE;
        if (rc < 0)
            return rc;
        if ((rc = take_report(s, &report, &fd, step)) < 0)
            return rc;
    }
}

int build_sandbox(struct sandbox *s, void (*forked)(void), enum sandbox_step *step)
{
    int go[2], report[2], agent_socket = -1;
    int rc;

    s->layer_fd = s->start.root_ready ? JAILMON_FD_LAYER : -1;
    s->listener_fd = -1;
    /* Not the keys of whoever started the warden: the kernel itself looks keys up there. */
    *step = STEP_KEYRING;
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 && errno != ENOSYS)
        return -errno;
    *step = STEP_NETNS;
    if ((rc = make_network(&s->route_fd)) < 0 || (rc = bound_inotify()) < 0)
        return rc;
    *step = STEP_HOSTNAME;
    if (sethostname(s->start.id.text, SANDBOX_ID_LEN) < 0)
        return -errno;
    *step = STEP_AGENT_SOCKET;
    if ((rc = open_agent_socket(&agent_socket)) < 0)
        return rc;
    *step = STEP_INIT_CLONE;
    if (pipe2(go, O_CLOEXEC) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, report) < 0)
        return -errno;
    /* On a failure below, this process exits and every descriptor goes with it. */
    pid_t pid = task_clone(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWTIME,
                           &s->init_pidfd, -1);
    if (pid == 0) {
        (void)close(go[1]); /* or we would never see its end of file */
        (void)close(report[0]);
        run_init(s, go[0], report[1], agent_socket);
    }
    if (pid < 0)
        return pid;
    s->init_pid = pid_in_proc(s->init_pidfd);
    if (s->init_pid < 0)
        return s->init_pid;
    (void)close(report[1]); /* init has its copy */
    (void)close(go[0]);
    (void)close(agent_socket);
    (void)close(JAILMON_FD_LOWER);
    (void)close(JAILMON_FD_AGENT);
    if (s->layer_fd != JAILMON_FD_LAYER)
        (void)close(JAILMON_FD_LAYER);
    forked();
    *step = STEP_INIT_ID_MAP;
    if ((rc = write_map(s->init_pid, "uid_map")) < 0 ||
        (rc = write_map(s->init_pid, "gid_map")) < 0)
        return rc;
    if (write(go[1], "g", 1) != 1)
        return -errno;
    (void)close(go[1]);
    s->report_fd = report[0];
    return 0;
}

int await_agent(struct sandbox *s, enum sandbox_step *step)
{
    *step = STEP_AGENT_EXEC;
    int rc = read_reports(s, step);
    (void)close(s->report_fd);
    return rc;
}

/* We were born in the warden's stage, a mount namespace that is not ours to change. Once the
 * capability to chroot is gone, its empty directory is all there is. */
static int empty_root(void)
{
    if (chdir("/empty") < 0 || chroot(".") < 0 || chdir("/") < 0)
        return -errno;
    return open("/proc", O_PATH | O_CLOEXEC) >= 0 ? -EPERM
                                                  : 0; /* proof: nothing is left to open */
}

/* No file at all, no listening socket, no signal and no abstract socket of anybody else. Where
 * the kernel can say so, it is proved by the root that cannot be read any more. */
static int refuse_files(void)
{
    static const struct landlock_rules nothing = {
        .fs = LL_FS_ALL, .net = LL_NET_BIND_TCP, .scope = LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL
    };
    struct err e = { 0 };
    int abi = landlock_restrict(&nothing, &e);

    if (abi <= 0)
        return abi;
    AUTO_CLOSE int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root < 0 && errno == EACCES ? 0 : -EPERM;
}

int drop_everything(enum sandbox_step *step)
{
    struct filter filter;
    struct err e = { 0 };
    int rc;

    *step = STEP_MONITOR_ROOT;
    if ((rc = empty_root()) < 0)
        return rc;
    *step = STEP_MONITOR_DROP;
    if (task_limit(RLIMIT_CORE, TASK_NO_CORE, &e) < 0 || task_limit(RLIMIT_NOFILE, 64, &e) < 0)
        return -e.code;
    if (task_limit_bounding(0, &e) < 0 || task_set_ids(MONITOR_ID, MONITOR_ID, &e) < 0 ||
        task_set_caps(0, &e) < 0)
        return -e.code;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
        return -EPERM;
    if (task_no_new_privs(&e) < 0)
        return -e.code;
    if ((rc = refuse_files()) < 0)
        return rc;
    filter_build(&filter, FILTER_MONITOR);
    return filter_load(&filter, &e);
}
