/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/str.h"
#include "firebreak/cli.h"
#include "firebreak/doctor.h"

#define NO_USER_XATTRS 255 /* an exit status that is no errno value */
#define LANDLOCK_QUERY_VERSION                                                                 \
    (1u << 0) /* LANDLOCK_CREATE_RULESET_VERSION; older headers lack it */

/* Runs fn in a child, which may lose itself in new namespaces. fn returns 0 or an errno value; so does this. */
static int try_in_child(int (*fn)(const void *arg), const void *arg)
{
    int status = 0;
    pid_t pid = fork();

    if (pid < 0)
        return errno;
    if (pid == 0)
        _exit(fn(arg));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : ECHILD;
}

static int write_text(const char *path, const char *text)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);

    return fd < 0 || write(fd, text, strlen(text)) < 0 ? errno : 0;
}

/* A new user namespace in which we are root. */
static int become_inner_root(int more_namespaces)
{
    char map[48];
    unsigned uid = geteuid(), gid = getegid();

    if (unshare(CLONE_NEWUSER | more_namespaces) < 0)
        return errno;
    (void)snprintf(map, sizeof map, "0 %u 1\n", uid);
    int rc = write_text("/proc/self/uid_map", map);
    if (rc == 0)
        rc = write_text("/proc/self/setgroups", "deny");
    (void)snprintf(map, sizeof map, "0 %u 1\n", gid);
    return rc == 0 ? write_text("/proc/self/gid_map", map) : rc;
}

static int try_namespaces(const void *arg)
{
    (void)arg;
    return become_inner_root(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                             CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWTIME);
}

static int try_overlay(const void *arg)
{
    static const char *const dirs[] = { "/tmp/l", "/tmp/u", "/tmp/w", "/tmp/m" };
    int rc = become_inner_root(CLONE_NEWNS);

    (void)arg;
    if (rc == 0 && (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount("none", "/tmp", "tmpfs", 0, NULL) < 0))
        rc = errno;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(dirs); i++)
        if (mkdir(dirs[i], 0755) < 0)
            rc = errno;
    if (rc == 0 && mount("none", "/tmp/m", "overlay", 0,
                         "userxattr,lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w") < 0)
        rc = errno;
    if (rc == 0 && setxattr("/tmp/u", "user.firebreak", "1", 1, 0) < 0)
        rc = NO_USER_XATTRS;
    return rc;
}

/* Mounts an image straight from its file, attached to nothing. */
static int try_erofs_file(const void *arg)
{
    const char *image = arg;

    if (unshare(CLONE_NEWNS) < 0)
        return errno;
    AUTO_CLOSE int fs = (int)syscall(SYS_fsopen, "erofs", 1u /* FSOPEN_CLOEXEC */);
    if (fs < 0 ||
        syscall(SYS_fsconfig, fs, 1u /* FSCONFIG_SET_STRING */, "source", image, 0) < 0 ||
        syscall(SYS_fsconfig, fs, 0u /* FSCONFIG_SET_FLAG */, "ro", NULL, 0) < 0 ||
        syscall(SYS_fsconfig, fs, 6u /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) < 0)
        return errno;
    return 0;
}

/* Some template image, to try with. */
static bool find_image(const struct place *p, char out[PLACE_PATH_MAX + 300])
{
    char dir[PLACE_PATH_MAX + 16];
    bool found = false;

    (void)snprintf(dir, sizeof dir, "%s/templates", p->state);
    DIR *d = opendir(dir);
    for (struct dirent *f = d ? readdir(d) : NULL; f && !found; f = readdir(d)) {
        found = str_ends(str_from(f->d_name), STR(".erofs"));
        if (found)
            (void)snprintf(out, PLACE_PATH_MAX + 300, "%s/%s", dir, f->d_name);
    }
    if (d)
        (void)closedir(d);
    return found;
}

static bool file_system_known(const char *name)
{
    char text[8192], line[64];

    if (cli_read_file("/proc/filesystems", text, sizeof text - 1) <= 0)
        return false;
    (void)snprintf(line, sizeof line, "\t%s\n", name);
    return strstr(text, line) != NULL;
}

static void check_release(struct doctor *d)
{
    bool ok = doctor_release() >= 5019;
    struct utsname u = { 0 };

    (void)uname(&u); /* fails only for a bad address */
    doctor_add(d, ok ? CHECK_PASS : CHECK_FAIL, "kernel", "boot Linux 5.19 or later, best 6.12",
               "Linux %.60s on %.20s; 5.19 is needed for id-mapped images below an overlay",
               u.release, u.machine);
}

static void check_namespaces(struct doctor *d)
{
    char max[32];
    int rc = try_in_child(try_namespaces, NULL);

    (void)doctor_read("/proc/sys/user/max_user_namespaces", max, sizeof max);
    if (rc == 0)
        doctor_add(d, CHECK_PASS, "namespaces", NULL,
                   "made user, mount, pid, net, ipc, uts, cgroup and time namespaces; "
                   "user.max_user_namespaces=%s",
                   max);
    else
        doctor_add(d, CHECK_FAIL, "namespaces",
                   "sysctl user.max_user_namespaces=10000, or ask who configured this host",
                   "unshare of the eight namespaces: %s; user.max_user_namespaces=%s",
                   strerror(rc), max);
}

static void check_erofs(struct doctor *d)
{
    char image[PLACE_PATH_MAX + 300];
    bool known = file_system_known("erofs");

    if (geteuid() == 0 && find_image(&d->place, image)) {
        int rc = try_in_child(try_erofs_file, image);
        if (rc == 0)
            doctor_add(d, CHECK_PASS, "erofs", NULL,
                       "an image was opened from its file, without a loop device");
        else if (access("/dev/loop-control", F_OK) == 0)
            doctor_add(d, CHECK_PASS, "erofs", NULL,
                       "images go through loop devices (from a file: %s)", strerror(rc));
        else
            doctor_add(d, CHECK_FAIL, "erofs", "modprobe erofs loop",
                       "mounting an image: %s, and there is no /dev/loop-control",
                       strerror(rc));
        return;
    }
    const char *hint =
        geteuid() == 0 ? "it is tried once there is a template" : "as root it is tried, too";
    if (known)
        doctor_add(d, CHECK_PASS, "erofs", NULL, "listed in /proc/filesystems; %s", hint);
    else
        doctor_add(d, CHECK_WARN, "erofs", "modprobe erofs",
                   "not in /proc/filesystems (it may be a module); %s", hint);
}

static void check_overlay(struct doctor *d)
{
    int rc = try_in_child(try_overlay, NULL);

    if (rc == 0)
        doctor_add(d, CHECK_PASS, "overlayfs", NULL,
                   "mounted in a user namespace with userxattr");
    else if (rc == NO_USER_XATTRS)
        doctor_add(d, CHECK_WARN, "overlayfs",
                   "Linux 6.6 or later lets each sandbox mount its own",
                   "tmpfs has no user xattrs here: the warden mounts the overlays, with rights "
                   "of its own");
    else
        doctor_add(d, CHECK_FAIL, "overlayfs", "modprobe overlay",
                   "mounting it in a user namespace: %s", strerror(rc));
}

static void check_seccomp(struct doctor *d)
{
    unsigned action = SECCOMP_RET_KILL_PROCESS;
    char actions[160];

    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0) {
        doctor_add(d, CHECK_FAIL, "seccomp", "a kernel with CONFIG_SECCOMP_FILTER is needed",
                   "kill_process: %s", strerror(errno));
        return;
    }
    (void)doctor_read("/proc/sys/kernel/seccomp/actions_avail", actions, sizeof actions);
    doctor_add(d, CHECK_PASS, "seccomp", NULL, "filters with %s",
               *actions ? actions : "kill_process");
}

static void check_landlock(struct doctor *d)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_QUERY_VERSION);

    if (abi > 0)
        doctor_add(d, CHECK_PASS, "landlock", NULL, "ABI %ld%s", abi,
                   abi < 2   ? ": monitors and the API only; sandboxes need 2"
                   : abi < 5 ? ": without device ioctls (5) and scopes (6)"
                   : abi < 6 ? ": without scopes of signals and abstract sockets (6)"
                             : "");
    else
        doctor_add(d, CHECK_WARN, "landlock", "boot with lsm=landlock,... for one more layer",
                   "not available: %s", strerror(errno));
}

/* Asks nf_tables for its generation, as netd's library does first. 0 or an errno. */
static int ask_nftables(void)
{
    struct {
        struct nlmsghdr head;
        struct nfgenmsg body;
    } ask = { { .nlmsg_len = sizeof ask,
                .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
                .nlmsg_flags = NLM_F_REQUEST },
              { .nfgen_family = AF_UNSPEC } };
    union {
        struct nlmsghdr head;
        char bytes[4096];
    } answer = { 0 };
    const struct timeval limit = { .tv_sec = 1 };
    AUTO_CLOSE int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
        send(fd, &ask, sizeof ask, 0) < 0 || recv(fd, &answer, sizeof answer, 0) < 0)
        return errno;
    if (answer.head.nlmsg_type != NLMSG_ERROR)
        return 0;
    const struct nlmsgerr *why = (const void *)(answer.bytes + NLMSG_HDRLEN);
    return -why->error;
}

static void check_networks(struct doctor *d)
{
    int rc = ask_nftables();

    if (rc == 0)
        doctor_add(d, CHECK_PASS, "networks", NULL,
                   "nf_tables answers: 'up --internet allow' can filter");
    else if (rc == EPERM)
        doctor_add(d, CHECK_WARN, "networks", "run: sudo firebreak doctor",
                   "nf_tables can be asked by root only");
    else
        doctor_add(d, CHECK_WARN, "networks",
                   "modprobe nf_tables; sandboxes run without networks until then",
                   "nf_tables: %s", strerror(rc));
}

void doctor_kernel(struct doctor *d)
{
    if (geteuid() == 0)
        doctor_add(d, CHECK_PASS, "root", NULL, "effective uid 0");
    else
        doctor_add(d, CHECK_WARN, "root", "run: sudo firebreak doctor",
                   "effective uid %u: 'up' needs root, and some checks say less", geteuid());
    check_release(d);
    check_namespaces(d);
    check_erofs(d);
    check_overlay(d);
    check_seccomp(d);
    check_landlock(d);
    check_networks(d);
}
