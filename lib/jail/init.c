/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/init.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/auto.h"
#include "sys/filter.h"
#include "sys/landlock.h"
#include "sys/mnt.h"
#include "sys/task.h"

/* The staging place: /tmp of the mount tree that we were cloned with, a copy of the warden's
 * stage. What we mount there is ours alone and stays out of sight below the new root. */
#define STAGE "/tmp"

#define DEV_SHM_BYTES (256u << 20)
#define RUN_BYTES     (64u << 20)

#define PLAIN  (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV)
#define STRICT (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* The image's tree is hostile: it may have a link, a pipe or a file wherever we want to mount
 * or write. So nothing below is named by a path through it: what we mount is made detached and
 * filled through its own descriptor, and the place it goes to is a descriptor that
 * mnt_open_in has found without following anything. */
struct world {
    int null;  /* the host's /dev/null */
    int stage; /* our tmpfs: layers */
    int root;  /* what becomes / */
    int proc, dev;
};

/* Root inside is an ordinary administrator of its files and processes. Everything that speaks
 * to the kernel as such is not here: SYS_ADMIN, SYS_PTRACE, SYS_CHROOT, NET_ADMIN, NET_RAW,
 * MKNOD, SYS_MODULE, SYS_TIME, SYS_BOOT, SYSLOG, AUDIT_*, SETFCAP, ... */
#define CAPS_INSIDE                                                                            \
    ((1ULL << CAP_CHOWN) | (1ULL << CAP_DAC_OVERRIDE) | (1ULL << CAP_FOWNER) |                 \
     (1ULL << CAP_FSETID) | (1ULL << CAP_KILL) | (1ULL << CAP_SETGID) | (1ULL << CAP_SETUID) | \
     (1ULL << CAP_NET_BIND_SERVICE))

static int send_report(int sock, const struct jail_report *report, int fd)
{
    struct iovec iov = { (void *)(uintptr_t)report, sizeof *report }; /* read only */
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (fd >= 0) {
        mh.msg_control = control.bytes;
        mh.msg_controllen = sizeof control.bytes;
        struct cmsghdr *c = CMSG_FIRSTHDR(&mh);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    return sendmsg(sock, &mh, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int report_number(const struct jail_init *in, enum jail_report_kind kind, int number)
{
    const struct jail_report report = { .kind = kind, .number = number };
    return send_report(in->report_fd, &report, -1);
}

static int report_fd(int sock, enum jail_report_kind kind, int fd)
{
    const struct jail_report report = { .kind = kind };
    return send_report(sock, &report, fd);
}

static int make_dir(int at, const char *name, mode_t mode)
{
    return mkdirat(at, name, mode) < 0 ? -errno : 0;
}

/* In a file system of ours, where nobody else has been. */
static int touch(int at, const char *name, mode_t mode)
{
    AUTO_CLOSE int fd = openat(at, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, mode);
    return fd < 0 ? -errno : 0;
}

static int write_new(int at, const char *name, const char *text)
{
    AUTO_CLOSE int fd = openat(at, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444);
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

static int make_tmpfs(const char *source, uint64_t bytes, uint64_t inodes, const char *mode,
                      unsigned attr)
{
    char size[32], count[32];
    const struct mnt_option options[] = {
        { "source", source }, { "size", size }, { "nr_inodes", count }, { "mode", mode }
    };

    (void)snprintf(size, sizeof size, "%llu", (unsigned long long)bytes);
    (void)snprintf(count, sizeof count, "%llu", (unsigned long long)inodes);
    return mnt_make("tmpfs", options, ARRAY_LEN(options), attr);
}

/* Puts a mount onto the directory `name` of the root. */
static int place(const struct world *w, int mount_fd, const char *name)
{
    AUTO_CLOSE int at = mnt_open_dir_in(w->root, name, 0755);
    return at < 0 ? at : mnt_attach(mount_fd, at);
}

/* Puts a mount onto `name` in a tree of ours. */
static int place_in(int tree, int mount_fd, const char *name)
{
    AUTO_CLOSE int at = mnt_open_in(tree, name, O_PATH);
    return at < 0 ? at : mnt_attach(mount_fd, at);
}

/* The writable layer: a tmpfs with a size and an inode cap, charged to the sandbox's memory, or
 * a file system on disk with such caps.
 * Its O_PATH descriptor goes to the monitor, which can statfs it and nothing else. */
static int stage(const struct jail_init *in, struct world *w)
{
    AUTO_CLOSE int at = open(STAGE, O_PATH | O_DIRECTORY | O_CLOEXEC);

    w->null = open("/dev/null", O_PATH | O_CLOEXEC);
    if (at < 0 || w->null < 0)
        return -errno;
    bool elsewhere = in->root_ready || in->disk_fd >= 0;
    w->stage = make_tmpfs("firebreak", elsewhere ? 65536 : in->disk_bytes,
                          elsewhere ? 16 : in->disk_inodes, "0755", PLAIN);
    if (w->stage < 0)
        return w->stage;
    int rc = mnt_attach(w->stage, at);
    if (rc < 0)
        return rc;
    const int dirs[] = { make_dir(w->stage, "lower", 0755), make_dir(w->stage, "layer", 0755),
                         make_dir(w->stage, "root", 0755) };
    if ((rc = first_error(dirs, ARRAY_LEN(dirs))) < 0)
        return rc;
    if (in->disk_fd >= 0)
        return place_in(w->stage, in->disk_fd, "layer");
    const int layer[] = { make_dir(w->stage, "layer/upper", 0755),
                          make_dir(w->stage, "layer/work", 0755) };
    return first_error(layer, ARRAY_LEN(layer));
}

static int report_layer(const struct jail_init *in, const struct world *w)
{
    AUTO_CLOSE int layer = openat(w->stage, "layer/upper", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return layer < 0 ? -errno : report_fd(in->report_fd, JAIL_SENDS_LAYER, layer);
}

static int mount_root(const struct jail_init *in, struct world *w)
{
    static const struct mnt_option options[] = { { "source", "firebreak" },
                                                 { "lowerdir", STAGE "/lower" },
                                                 { "upperdir", STAGE "/layer/upper" },
                                                 { "workdir", STAGE "/layer/work" },
                                                 { "userxattr", NULL } };

    w->root =
        in->root_ready ? in->lower_fd : mnt_make("overlay", options, ARRAY_LEN(options), PLAIN);
    return w->root < 0 ? w->root : place_in(w->stage, w->root, "root");
}

static int mount_proc(const struct jail_init *in, struct world *w)
{
    static const struct mnt_option source = { "source", "proc" };

    w->proc = mnt_make("proc", &source, 1, STRICT);
    int rc = w->proc < 0 ? w->proc : place(w, w->proc, "proc");
    if (rc == 0 && !in->user_namespaces) /* none can be made below this one, whatever the
                                            filter says */
        rc = task_write_file(w->proc, "sys/user/max_user_namespaces", "0");
    return rc;
}

static int fill_dev(int dev)
{
    static const char *const link[][2] = { { "/proc/self/fd", "fd" },
                                           { "/proc/self/fd/0", "stdin" },
                                           { "/proc/self/fd/1", "stdout" },
                                           { "/proc/self/fd/2", "stderr" },
                                           { "pts/ptmx", "ptmx" } };
    int rc = make_dir(dev, "pts", 0755);

    if (rc == 0)
        rc = make_dir(dev, "shm", 0755);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(link); i++)
        rc = symlinkat(link[i][0], dev, link[i][1]) < 0 ? -errno : 0;
    return rc;
}

static int mount_nodes(int dev)
{
    static const char *const node[] = { "null", "zero", "full", "random", "urandom", "tty" };
    char from[32];
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(node); i++) {
        (void)snprintf(from, sizeof from, "/dev/%s", node[i]); /* the host's */
        AUTO_CLOSE int one = mnt_clone(AT_FDCWD, from);
        rc = one < 0 ? one : touch(dev, node[i], 0666);
        if (rc == 0)
            rc = place_in(dev, one, node[i]);
    }
    return rc;
}

static int mount_dev(struct world *w)
{
    static const struct mnt_option pts_options[] = {
        { "source", "devpts" }, { "newinstance", NULL }, { "ptmxmode", "0666" },
        { "mode", "0620" },     { "gid", "5" },          { "max", JAIL_PTYS_TEXT }
    };

    w->dev = make_tmpfs("dev", 65536, 64, "0755", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    int rc = w->dev < 0 ? w->dev : fill_dev(w->dev);
    if (rc == 0)
        rc = place(w, w->dev, "dev");
    if (rc == 0)
        rc = mount_nodes(w->dev);
    if (rc < 0)
        return rc;
    AUTO_CLOSE int pts = mnt_make("devpts", pts_options, ARRAY_LEN(pts_options),
                                  MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    AUTO_CLOSE int shm = make_tmpfs("shm", DEV_SHM_BYTES, 16384, "1777", STRICT);
    if (pts < 0 || shm < 0)
        return pts < 0 ? pts : shm;
    const int more[] = { place_in(w->dev, pts, "pts"), place_in(w->dev, shm, "shm"),
                         mnt_set_read_only(w->dev) };
    return first_error(more, ARRAY_LEN(more));
}

/* Not sysfs: that shows the host's devices. A few facts that run-time libraries look for (JVM,
 * glibc, OpenMP). */
static int mount_sys(const struct world *w)
{
    static const char *const dir[] = { "devices", "devices/system", "devices/system/cpu" };
    static const char *const file[] = { "online", "possible", "present" };
    char cpus[32], path[64];
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    AUTO_CLOSE int sys = make_tmpfs("sys", 65536, 64, "0755", STRICT);
    int rc = sys < 0 ? sys : 0;

    (void)snprintf(cpus, sizeof cpus, n > 1 ? "0-%ld\n" : "%ld\n", n > 1 ? n - 1 : 0);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(dir); i++)
        rc = make_dir(sys, dir[i], 0555);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(file); i++) {
        (void)snprintf(path, sizeof path, "devices/system/cpu/%s", file[i]);
        rc = write_new(sys, path, cpus);
    }
    if (rc == 0)
        rc = mnt_set_read_only(sys);
    return rc < 0 ? rc : place(w, sys, "sys");
}

static int mount_run(const struct jail_init *in, const struct world *w)
{
    AUTO_CLOSE int run = make_tmpfs("run", RUN_BYTES, 8192, "0755", PLAIN);
    int rc = run < 0 ? run : place(w, run, "run");
    struct stat st;

    if (rc < 0)
        return rc;
    /* The image's own sudo is inert under no_new_privs; envd serves under that name. An image
     * without sudo, or with something else in its place, needs none. */
    AUTO_CLOSE int sudo = mnt_open_in(w->root, "usr/bin/sudo", O_PATH);
    if (sudo < 0 || fstat(sudo, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    return mnt_attach(in->agent_fd, sudo);
}

/* Covers `name` in /proc with a clone of `cover`. Files that a kernel lacks are skipped. */
static int mask(const struct world *w, const char *name, int cover, bool read_only)
{
    AUTO_CLOSE int at = mnt_open_in(w->proc, name, O_PATH);
    if (at < 0)
        return at == -ENOENT ? 0 : at;
    AUTO_CLOSE int one = mnt_clone(cover < 0 ? at : cover, "");
    int rc = one < 0 ? one : 0;
    if (rc == 0 && read_only)
        rc = mnt_set_read_only(one);
    return rc < 0 ? rc : mnt_attach(one, at);
}

/* Directories get one empty file system: itself the first time, since before Linux 6.15 only
 * what is attached can be cloned. */
static int mask_dirs(const struct world *w)
{
    static const char *const dir[] = { "acpi",          "scsi",     "asound", "driver",
                                       "dynamic_debug", "pressure", "tty" };
    AUTO_CLOSE int empty = make_tmpfs("masked", 0, 2, "0555", STRICT | MOUNT_ATTR_RDONLY);
    bool attached = false;
    int rc = empty < 0 ? empty : 0;

    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(dir); i++) {
        AUTO_CLOSE int at = attached ? -1 : mnt_open_in(w->proc, dir[i], O_PATH);
        if (attached)
            rc = mask(w, dir[i], empty, false);
        else if (at >= 0)
            rc = mnt_attach(empty, at);
        else if (at != -ENOENT)
            rc = at;
        attached |= at >= 0;
    }
    return rc;
}

/* Kernel facts and switches that are not the sandbox's business. */
static int mask_proc(const struct world *w)
{
    static const char *const file[] = { "kcore",       "cmdline",       "keys",
                                        "key-users",   "timer_list",    "sched_debug",
                                        "kmsg",        "kallsyms",      "sysrq-trigger",
                                        "kpagecount",  "latency_stats", "kpageflags",
                                        "kpagecgroup", "vmallocinfo",   "slabinfo",
                                        "modules",     "iomem",         "ioports",
                                        "config.gz",   "interrupts",    "schedstat" };
    static const char *const read_only[] = { "sys", "irq", "bus", "fs", "mtrr" };
    int rc = mask_dirs(w);

    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(file); i++)
        rc = mask(w, file[i], w->null, false);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(read_only); i++)
        rc = mask(w, read_only[i], -1, true);
    return rc;
}

/* The stage's /proc stays below the new root. Whoever may make user namespaces could mount a /proc
 * without our masks as long as one is there with nothing on top (mount_too_revealing in
 * fs/namespace.c): so something is, and locked for every namespace below this one. */
static int cover_proc_below(const struct world *w)
{
    AUTO_CLOSE int cover = mnt_clone(w->null, "");
    AUTO_CLOSE int at = open("/proc/cmdline", O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (cover < 0 || at < 0)
        return cover < 0 ? cover : -errno;
    return mnt_attach(cover, at);
}

/* The new root covers the one we were cloned with, as an initramfs is left (switch_root(8)): what
 * lies below it has no name any more, and ".." of the new root is itself for the kernel, not only
 * because of the chroot. That spares the umount, which would wait for a grace period of RCU.
 * Proved by what / is afterwards: the root of the mount that we made, and its own parent. */
static int cover_root(const struct world *w)
{
    struct stat want, got, parent;

    AUTO_CLOSE int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old < 0)
        return -errno;
    int rc = mnt_attach(w->root, old);
    if (rc < 0)
        return rc;
    if (fchdir(w->root) < 0 || chroot(".") < 0 || chdir("/") < 0)
        return -errno;
    if (fstat(w->root, &want) < 0 || stat("/", &got) < 0 || stat("/..", &parent) < 0)
        return -errno;
    return got.st_dev == want.st_dev && got.st_ino == want.st_ino &&
                   parent.st_dev == want.st_dev && parent.st_ino == want.st_ino
               ? 0
               : -EXDEV;
}

/* Where a sandbox that has a network finds its resolver: an address that is the same in every
 * sandbox, so that this is true of it before it has one and if it never gets one. An image without
 * /etc, or with something else there that cannot be replaced, keeps what it has: it is not our
 * mistake. */
static void name_resolver(const struct world *w)
{
    AUTO_CLOSE int etc = mnt_open_in(w->root, "etc", O_PATH | O_DIRECTORY);
    if (etc < 0)
        return;
    (void)unlinkat(etc, "resolv.conf", 0);
    (void)write_new(etc, "resolv.conf",
                    "nameserver 169.254.169.253\noptions timeout:2 attempts:2\n");
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
 * to execute is close-on-exec. All else is closed, the descriptors of mounts among them. */
static int arrange_fds(struct jail_init *in, const struct world *w, int *exec_fd)
{
    int null = openat(w->dev, "null", O_RDWR | O_NOFOLLOW | O_CLOEXEC);
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
    /* 4..63 had everything else; 64..66 are the three that go at exec. */
    if (syscall(SYS_close_range, 4U, 63U, 0U) < 0 || syscall(SYS_close_range, 67U, ~0U, 0U) < 0)
        return -errno;
    in->report_fd = report_fd;
    return *exec_fd <= 66 && socket_fd <= 66 && report_fd <= 66 ? 0 : -EMFILE;
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

/* Devices are made nowhere and spoken to in /dev only, mounts stay as they are even for who
 * gains all capabilities, and signals, traces and abstract sockets end at this sandbox. A
 * template with user namespaces needs to mount: it has the scopes only.
 * Proved while we still could mount, if it were not for this. */
static int restrict_files(const struct jail_init *in)
{
    AUTO_CLOSE int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int dev = openat(root, "dev", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const struct landlock_grant grant[] = { { root, LL_FS_REFER }, { dev, LL_FS_IOCTL_DEV } };
    const struct landlock_rules rules = {
        .fs = in->user_namespaces
                  ? 0
                  : LL_FS_MAKE_CHAR | LL_FS_MAKE_BLOCK | LL_FS_REFER | LL_FS_IOCTL_DEV,
        .scope = LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL,
        .grant = grant,
        .n_grants = ARRAY_LEN(grant),
    };
    struct err e = { 0 };

    if (root < 0 || dev < 0)
        return -errno;
    int abi = landlock_restrict(&rules, &e);
    if (abi >= 2 && !in->user_namespaces &&
        (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 || errno != EPERM))
        return -EPERM;
    return abi;
}

static enum filter_profile profile_of(const struct jail_init *in)
{
    switch (in->profile) {
    case JAIL_PROFILE_STRICT:
        return FILTER_STRICT;
    case JAIL_PROFILE_DEBUG:
        return FILTER_DEBUG;
    case JAIL_PROFILE_DEFAULT:
    default:
        return FILTER_WORKLOAD;
    }
}

/* The filter is the last thing: from here on a forbidden call of ours would be reported too. */
static int restrict_calls(const struct jail_init *in)
{
    struct filter filter;
    struct err e = { 0 };

    filter_build_with(&filter, profile_of(in), in->user_namespaces ? FILTER_NAMESPACES : 0);
    AUTO_CLOSE int listener = filter_load_watched(&filter, &e);
    return listener < 0 ? listener : report_fd(in->report_fd, JAIL_SENDS_LISTENER, listener);
}

static int restrict_self(const struct jail_init *in, const struct jail_steps *s, uint32_t *step)
{
    struct err e = { 0 };
    int rc;

    *step = s->rlimits;
    if ((rc = limit(in)) < 0)
        return rc;
    *step = s->no_new_privs;
    if (task_no_new_privs(&e) < 0)
        return -e.code;
    *step = s->landlock;
    if ((rc = restrict_files(in)) < 0 || (rc = report_number(in, JAIL_SENDS_LANDLOCK, rc)) < 0)
        return rc;
    *step = s->caps;
    if (task_limit_bounding(CAPS_INSIDE, &e) < 0 || task_set_caps(CAPS_INSIDE, &e) < 0)
        return -e.code;
    *step = s->seccomp;
    return restrict_calls(in);
}

/* From the warden's stage to the sandbox's tree. */
static int build_world(const struct jail_init *in, const struct jail_steps *s, struct world *w,
                       uint32_t *step)
{
    int rc;

    *step = s->root_tmpfs;
    if ((rc = stage(in, w)) < 0 || (!in->root_ready && (rc = report_layer(in, w)) < 0))
        return rc;
    *step = s->lower;
    if (!in->root_ready && (rc = place_in(w->stage, in->lower_fd, "lower")) < 0)
        return rc;
    *step = s->overlay;
    if ((rc = mount_root(in, w)) < 0)
        return rc;
    *step = s->proc;
    if ((rc = mount_proc(in, w)) < 0)
        return rc;
    *step = s->dev;
    if ((rc = mount_dev(w)) < 0)
        return rc;
    *step = s->sys;
    if ((rc = mount_sys(w)) < 0)
        return rc;
    *step = s->run;
    if ((rc = mount_run(in, w)) < 0)
        return rc;
    *step = s->mask;
    if ((rc = mask_proc(w)) < 0)
        return rc;
    *step = s->pivot;
    if ((rc = cover_proc_below(w)) < 0)
        return rc;
    return cover_root(w);
}

int jail_init_run(struct jail_init *in, const struct jail_steps *s, uint32_t *step)
{
    struct world w = { -1, -1, -1, -1, -1 }; /* its descriptors go in arrange_fds */
    int exec_fd = -1;
    int rc;

    *step = s->mount_private;
    (void)umask(022);
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -errno;
    if ((rc = build_world(in, s, &w, step)) < 0)
        return rc;
    name_resolver(&w);
    *step = s->cgroup_ns;
    if (unshare(CLONE_NEWCGROUP) < 0)
        return -errno;
    *step = s->agent_exec;
    if ((rc = arrange_fds(in, &w, &exec_fd)) < 0)
        return rc;
    if ((rc = restrict_self(in, s, step)) < 0)
        return rc;
    *step = s->agent_exec;
    return become_agent(exec_fd);
}
