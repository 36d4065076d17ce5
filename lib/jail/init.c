/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/filter.h"
#include "sys/task.h"

/* The staging place: /tmp of the mount tree that we were cloned with. What we mount there is
 * ours alone and goes with the old root. */
#define STAGE "/tmp"
#define ROOT  STAGE "/root"

#define DEV_SHM_BYTES (256u << 20)
#define RUN_BYTES     (64u << 20)

/* Root inside is an ordinary administrator of its files and processes. Everything that speaks
 * to the kernel as such is not here: SYS_ADMIN, SYS_PTRACE, SYS_CHROOT, NET_ADMIN, NET_RAW,
 * MKNOD, SYS_MODULE, SYS_TIME, SYS_BOOT, SYSLOG, AUDIT_*, SETFCAP, ... */
#define CAPS_INSIDE                                                                            \
    ((1ULL << CAP_CHOWN) | (1ULL << CAP_DAC_OVERRIDE) | (1ULL << CAP_FOWNER) |                 \
     (1ULL << CAP_FSETID) | (1ULL << CAP_KILL) | (1ULL << CAP_SETGID) | (1ULL << CAP_SETUID) | \
     (1ULL << CAP_NET_BIND_SERVICE))

static int sys_mount(const char *source, const char *target, const char *type,
                     unsigned long flags, const char *options)
{
    return mount(source, target, type, flags, options) < 0 ? -errno : 0;
}

static int make_dir(const char *path, mode_t mode)
{
    return mkdir(path, mode) < 0 && errno != EEXIST ? -errno : 0;
}

static int attach(int mount_fd, const char *target)
{
    return syscall(SYS_move_mount, mount_fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0
               ? -errno
               : 0;
}

static int set_read_only(const char *path, unsigned int flags)
{
    struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
    return syscall(SYS_mount_setattr, AT_FDCWD, path, flags, &attr, sizeof attr) < 0 ? -errno
                                                                                     : 0;
}

/* A second view of `source` at `target`, which must exist. */
static int bind_to(const char *source, const char *target)
{
    long fd = syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    AUTO_CLOSE int tree = (int)fd;
    return attach(tree, target);
}

static int touch(const char *path, mode_t mode)
{
    AUTO_CLOSE int fd = open(path, O_CREAT | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, mode);
    return fd < 0 ? -errno : 0;
}

static int write_new(const char *path, const char *text)
{
    AUTO_CLOSE int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0444);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -EIO;
}

static int first_error(const int *rc, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rc[i] < 0)
            return rc[i];
    return 0;
}

/* The writable layer: a tmpfs with a size and an inode cap, charged to the sandbox's memory.
 * Its O_PATH descriptor goes to the monitor, which can statfs it and nothing else. */
static int stage(const struct jail_init *in)
{
    char options[96];

    (void)snprintf(options, sizeof options, "size=%llu,nr_inodes=%llu,mode=0755",
                   (unsigned long long)(in->root_ready ? 65536 : in->disk_bytes),
                   (unsigned long long)(in->root_ready ? 16 : in->disk_inodes));
    int rc = sys_mount("firebreak", STAGE, "tmpfs", MS_NOSUID | MS_NODEV, options);
    if (rc < 0)
        return rc;
    const int dirs[] = { make_dir(STAGE "/lower", 0755), make_dir(STAGE "/upper", 0755),
                         make_dir(STAGE "/work", 0755), make_dir(ROOT, 0755) };
    return first_error(dirs, ARRAY_LEN(dirs));
}

static int report_layer(const struct jail_init *in)
{
    AUTO_CLOSE int layer = open(STAGE "/upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct jail_report none = { 0 };
    struct iovec iov = { &none, sizeof none };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr mh = { .msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes };

    if (layer < 0)
        return -errno;
    struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof layer);
    memcpy(CMSG_DATA(c), &layer, sizeof layer);
    return sendmsg(in->report_fd, &mh, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int mount_root(const struct jail_init *in)
{
    if (in->root_ready)
        return attach(in->lower_fd, ROOT);
    return sys_mount("firebreak", ROOT, "overlay", MS_NOSUID | MS_NODEV,
                     "lowerdir=" STAGE "/lower,upperdir=" STAGE "/upper,workdir=" STAGE
                     "/work,userxattr");
}

static int mount_proc(void)
{
    int rc = make_dir(ROOT "/proc", 0555);
    if (rc == 0)
        rc = sys_mount("proc", ROOT "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    if (rc == 0) /* no user namespace can be made below this one, whatever the filter says */
        rc = task_write_file(AT_FDCWD, ROOT "/proc/sys/user/max_user_namespaces", "0");
    return rc;
}

static int mount_dev(void)
{
    static const char *const node[] = { "null", "zero", "full", "random", "urandom", "tty" };
    static const char *const link[][2] = { { "/proc/self/fd", "fd" },
                                           { "/proc/self/fd/0", "stdin" },
                                           { "/proc/self/fd/1", "stdout" },
                                           { "/proc/self/fd/2", "stderr" },
                                           { "pts/ptmx", "ptmx" } };
    char options[64];
    char to[64], from[32];
    int rc = make_dir(ROOT "/dev", 0755);

    if (rc == 0)
        rc = sys_mount("dev", ROOT "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC,
                       "size=65536,nr_inodes=64,mode=0755");
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(node); i++) {
        (void)snprintf(from, sizeof from, "/dev/%s", node[i]);
        (void)snprintf(to, sizeof to, ROOT "/dev/%s", node[i]);
        rc = touch(to, 0666);
        if (rc == 0)
            rc = bind_to(from, to);
    }
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(link); i++) {
        (void)snprintf(to, sizeof to, ROOT "/dev/%s", link[i][1]);
        rc = symlink(link[i][0], to) < 0 ? -errno : 0;
    }
    if (rc < 0)
        return rc;
    (void)snprintf(options, sizeof options, "size=%u,nr_inodes=16384,mode=1777", DEV_SHM_BYTES);
    const int more[] = {
        make_dir(ROOT "/dev/pts", 0755),
        make_dir(ROOT "/dev/shm", 0755),
        sys_mount("devpts", ROOT "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
                  "newinstance,ptmxmode=0666,mode=0620,gid=5,max=256"),
        sys_mount("shm", ROOT "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options),
        set_read_only(ROOT "/dev", 0),
    };
    return first_error(more, ARRAY_LEN(more));
}

/* Not sysfs: that shows the host's devices. A few facts that run-time libraries look for (JVM,
 * glibc, OpenMP). */
static int mount_sys(void)
{
    char cpus[32];
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    int rc = make_dir(ROOT "/sys", 0555);

    if (rc == 0)
        rc = sys_mount("sys", ROOT "/sys", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
                       "size=65536,nr_inodes=64,mode=0755");
    if (rc < 0)
        return rc;
    (void)snprintf(cpus, sizeof cpus, n > 1 ? "0-%ld\n" : "%ld\n", n > 1 ? n - 1 : 0);
    const int made[] = {
        make_dir(ROOT "/sys/devices", 0555),
        make_dir(ROOT "/sys/devices/system", 0555),
        make_dir(ROOT "/sys/devices/system/cpu", 0555),
        write_new(ROOT "/sys/devices/system/cpu/online", cpus),
        write_new(ROOT "/sys/devices/system/cpu/possible", cpus),
        write_new(ROOT "/sys/devices/system/cpu/present", cpus),
        set_read_only(ROOT "/sys", 0),
    };
    return first_error(made, ARRAY_LEN(made));
}

static int mount_run(const struct jail_init *in)
{
    char options[64];
    int rc = make_dir(ROOT "/run", 0755);

    (void)snprintf(options, sizeof options, "size=%u,nr_inodes=8192,mode=0755", RUN_BYTES);
    if (rc == 0)
        rc = sys_mount("run", ROOT "/run", "tmpfs", MS_NOSUID | MS_NODEV, options);
    /* The image's own sudo is inert under no_new_privs; envd serves under that name. An image
     * without sudo needs none. */
    struct stat st;
    if (rc == 0 && lstat(ROOT "/usr/bin/sudo", &st) == 0 && S_ISREG(st.st_mode))
        rc = attach(in->agent_fd, ROOT "/usr/bin/sudo");
    return rc;
}

/* Kernel facts and switches that are not the sandbox's business. Files that a kernel lacks are
 * skipped. */
static int mask_proc(void)
{
    static const char *const file[] = {
        "kcore",       "cmdline",    "keys",        "key-users",     "timer_list",
        "sched_debug", "kmsg",       "kallsyms",    "sysrq-trigger", "latency_stats",
        "kpagecount",  "kpageflags", "kpagecgroup", "vmallocinfo",   "slabinfo",
        "modules",     "iomem",      "ioports",     "config.gz",     "interrupts",
        "schedstat",   "sched_debug"
    };
    static const char *const dir[] = { "acpi",          "scsi",     "asound", "driver",
                                       "dynamic_debug", "pressure", "tty" };
    static const char *const read_only[] = { "sys", "irq", "bus", "fs", "mtrr" };
    char path[64];
    struct stat st;
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(file); i++) {
        (void)snprintf(path, sizeof path, ROOT "/proc/%s", file[i]);
        if (lstat(path, &st) == 0)
            rc = bind_to("/dev/null", path);
    }
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(dir); i++) {
        (void)snprintf(path, sizeof path, ROOT "/proc/%s", dir[i]);
        if (lstat(path, &st) == 0)
            rc =
                sys_mount("masked", path, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                          "size=0,nr_inodes=2,mode=0555");
    }
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(read_only); i++) {
        (void)snprintf(path, sizeof path, ROOT "/proc/%s", read_only[i]);
        if (lstat(path, &st) < 0)
            continue;
        rc = bind_to(path, path);
        if (rc == 0)
            rc = set_read_only(path, 0);
    }
    return rc;
}

static int pivot(void)
{
    if (chdir(ROOT) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
        return -errno;
    if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return 0;
}

static int limit(const struct jail_init *in)
{
    struct err e;
    const struct {
        int resource;
        uint64_t value;
    } limits[] = { { RLIMIT_CORE, TASK_NO_CORE }, { RLIMIT_NOFILE, 65536 },
                   { RLIMIT_NPROC, in->pids },    { RLIMIT_MEMLOCK, 64u << 20 },
                   { RLIMIT_MSGQUEUE, 819200 },   { RLIMIT_SIGPENDING, 4096 } };

    for (size_t i = 0; i < ARRAY_LEN(limits); i++)
        if (task_limit(limits[i].resource, limits[i].value, &e) < 0)
            return -e.code;
    return 0;
}

/* Descriptors 0, 1, 2 are the sandbox's own /dev/null, 3 is the agent's socket, and the program
 * to execute is close-on-exec. */
static int arrange_fds(struct jail_init *in, int *exec_fd)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return -errno;
    *exec_fd = fcntl(in->agent_fd, F_DUPFD_CLOEXEC, 64);
    int socket_fd = fcntl(in->agent_socket_fd, F_DUPFD_CLOEXEC, 64);
    int report_fd = fcntl(in->report_fd, F_DUPFD_CLOEXEC, 64);
    if (*exec_fd < 0 || socket_fd < 0 || report_fd < 0)
        return -errno;
    for (int fd = 0; fd < 3; fd++)
        if (dup2(null, fd) < 0)
            return -errno;
    if (dup2(socket_fd, 3) < 0)
        return -errno;
    /* 4..63 had everything else; 64.. are the three that go at exec. */
    if (syscall(SYS_close_range, 4U, 63U, 0U) < 0)
        return -errno;
    in->report_fd = report_fd;
    return 0;
}

static int become_agent(int exec_fd)
{
    static const char *const argv[] = { "envd", NULL };
    static const char *const envp[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL
    };
    char *av[ARRAY_LEN(argv)], *ev[ARRAY_LEN(envp)];

    memcpy(av, argv, sizeof argv);
    memcpy(ev, envp, sizeof envp);
    (void)syscall(SYS_execveat, exec_fd, "", av, ev, AT_EMPTY_PATH);
    return -errno;
}

static int restrict_self(const struct jail_init *in, const struct jail_steps *s, uint32_t *step)
{
    struct filter filter;
    struct err e;
    int rc;

    *step = s->rlimits;
    if ((rc = limit(in)) < 0)
        return rc;
    *step = s->caps;
    if (task_limit_bounding(CAPS_INSIDE, &e) < 0 || task_set_caps(CAPS_INSIDE, &e) < 0)
        return -e.code;
    *step = s->no_new_privs;
    if (task_no_new_privs(&e) < 0)
        return -e.code;
    *step = s->seccomp;
    filter_build(&filter, FILTER_WORKLOAD);
    return filter_load(&filter, &e);
}

int jail_init_run(struct jail_init *in, const struct jail_steps *s, uint32_t *step)
{
    int exec_fd = -1;
    int rc;

    *step = s->mount_private;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) /* no sandbox without its monitor */
        return -errno;
    (void)umask(022);
    if ((rc = sys_mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) < 0)
        return rc;
    *step = s->root_tmpfs;
    if ((rc = stage(in)) < 0 || (!in->root_ready && (rc = report_layer(in)) < 0))
        return rc;
    *step = s->lower;
    if (!in->root_ready && (rc = attach(in->lower_fd, STAGE "/lower")) < 0)
        return rc;
    *step = s->overlay;
    if ((rc = mount_root(in)) < 0)
        return rc;
    *step = s->proc;
    if ((rc = mount_proc()) < 0)
        return rc;
    *step = s->dev;
    if ((rc = mount_dev()) < 0)
        return rc;
    *step = s->sys;
    if ((rc = mount_sys()) < 0)
        return rc;
    *step = s->run;
    if ((rc = mount_run(in)) < 0)
        return rc;
    *step = s->mask;
    if ((rc = mask_proc()) < 0)
        return rc;
    *step = s->pivot;
    if ((rc = pivot()) < 0)
        return rc;
    *step = s->cgroup_ns;
    if (unshare(CLONE_NEWCGROUP) < 0)
        return -errno;
    *step = s->agent_exec;
    if ((rc = arrange_fds(in, &exec_fd)) < 0)
        return rc;
    if ((rc = restrict_self(in, s, step)) < 0)
        return rc;
    *step = s->agent_exec;
    return become_agent(exec_fd);
}
