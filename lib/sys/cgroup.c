/* SPDX-License-Identifier: Apache-2.0 */
#include "sys/cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "sys/task.h"

#define CPU_PERIOD_US 100000u
#define SOCKET_SHARE  4u /* of the memory limit, on v1 in addition to it */

static const char *const v1_name[CGROUP_V1_N] = { "memory", "cpu",     "cpuacct",
                                                  "pids",   "freezer", "blkio" };

/* A directory fd of `path` if it lies on a file system of that type, else -1. */
static int open_mount(const char *path, long magic)
{
    struct statfs fs;
    AUTO_CLOSE int fd = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != magic)
        return -1;
    return fd_steal(&fd);
}

static int make_parent(int mount_fd, const char *parent)
{
    if (mkdirat(mount_fd, parent, 0755) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(mount_fd, parent, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Switches a controller on in a directory and tells whether its children will have it. */
static bool enable(int dir_fd, const char *plus_name)
{
    return task_write_file(dir_fd, "cgroup.subtree_control", plus_name) == 0;
}

static void open_v2(struct cgroup_host *h, const char *parent)
{
    AUTO_CLOSE int mount_fd = open_mount("/sys/fs/cgroup", CGROUP2_SUPER_MAGIC);

    if (mount_fd < 0)
        mount_fd = open_mount("/sys/fs/cgroup/unified", CGROUP2_SUPER_MAGIC);
    if (mount_fd < 0)
        return;
    int fd = make_parent(mount_fd, parent);
    if (fd < 0)
        return;
    h->v2_fd = fd;
    h->v2_memory = enable(mount_fd, "+memory") && enable(fd, "+memory");
    h->v2_cpu = enable(mount_fd, "+cpu") && enable(fd, "+cpu");
    h->v2_pids = enable(mount_fd, "+pids") && enable(fd, "+pids");
    h->v2_io = enable(mount_fd, "+io") && enable(fd, "+io");
}

static void open_v1(struct cgroup_host *h, const char *parent)
{
    for (int i = 0; i < CGROUP_V1_N; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/sys/fs/cgroup/%s", v1_name[i]);
        AUTO_CLOSE int mount_fd = open_mount(path, CGROUP_SUPER_MAGIC);
        if (mount_fd < 0)
            continue;
        int fd = make_parent(mount_fd, parent);
        if (fd >= 0)
            h->v1_fd[i] = fd;
    }
}

int cgroup_host_open(struct cgroup_host *h, const char *parent, struct err *e)
{
    *h = (struct cgroup_host){ .v2_fd = -1 };
    for (int i = 0; i < CGROUP_V1_N; i++)
        h->v1_fd[i] = -1;
    open_v2(h, parent);
    open_v1(h, parent);

    const char *missing = NULL;
    if (!h->v2_memory && h->v1_fd[CGROUP_V1_MEMORY] < 0)
        missing = "memory";
    else if (!h->v2_cpu && h->v1_fd[CGROUP_V1_CPU] < 0)
        missing = "cpu";
    else if (!h->v2_pids && h->v1_fd[CGROUP_V1_PIDS] < 0)
        missing = "pids";
    else if (h->v2_fd < 0 && h->v1_fd[CGROUP_V1_FREEZER] < 0)
        missing = "freezer";
    if (missing) {
        cgroup_host_close(h);
        return err_say(e, ENOTSUP,
                       "no cgroup controller '%s' under /sys/fs/cgroup: mount cgroup v2 there "
                       "(or v1 controllers below it) and give this process root",
                       missing);
    }
    return 0;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* a directory: nothing to lose */
    *fd = -1;
}

void cgroup_host_close(struct cgroup_host *h)
{
    close_fd(&h->v2_fd);
    for (int i = 0; i < CGROUP_V1_N; i++)
        close_fd(&h->v1_fd[i]);
}

const char *cgroup_host_kind(const struct cgroup_host *h)
{
    bool v1 = false;

    for (int i = 0; i < CGROUP_V1_N; i++)
        v1 |= h->v1_fd[i] >= 0;
    if (h->v2_fd < 0)
        return "v1";
    return v1 ? "hybrid" : "v2";
}

static int open_group(int parent_fd, const char *id)
{
    return openat(parent_fd, id, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

static int write_u64(int dir_fd, const char *file, uint64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return task_write_file(dir_fd, file, text);
}

struct setting {
    const char *file;
    uint64_t value;
    bool must; /* without it a promised limit is not in force */
};

static int apply(int dir_fd, const struct setting *s, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        int rc = write_u64(dir_fd, s[i].file, s[i].value);
        if (rc < 0 && s[i].must)
            return err_set(e, -rc, "set %s to %llu", s[i].file, (unsigned long long)s[i].value);
    }
    return 0;
}

static uint64_t quota_us(const struct cgroup_limits *l)
{
    return (uint64_t)l->cpu_millis * CPU_PERIOD_US / 1000;
}

static int set_cpu_v2(int dir_fd, const struct cgroup_limits *l, struct err *e)
{
    /* The kernel's own conversion of shares (2..262144) to weight (1..10000). */
    uint64_t weight =
        1 + ((uint64_t)(l->cpu_shares < 2 ? 2 : l->cpu_shares) - 2) * 9999 / 262142;
    const struct setting cpu[] = { { "cpu.weight", weight, false } };
    char text[48];

    (void)snprintf(text, sizeof text, "%llu %u", (unsigned long long)quota_us(l),
                   CPU_PERIOD_US);
    int rc = task_write_file(dir_fd, "cpu.max", text);
    if (rc < 0)
        return err_set(e, -rc, "set cpu.max to %s", text);
    return apply(dir_fd, cpu, ARRAY_LEN(cpu), e);
}

static int set_io_v2(const struct cgroup_host *h, int dir_fd, const struct cgroup_limits *l,
                     struct err *e)
{
    char text[96];

    (void)snprintf(text, sizeof text, "%s rbps=%llu wbps=%llu", h->disk,
                   (unsigned long long)l->io_bytes_per_s,
                   (unsigned long long)l->io_bytes_per_s);
    int rc = task_write_file(dir_fd, "io.max", text);
    return rc < 0 ? err_set(e, -rc, "set io.max to %s", text) : 0;
}

static int set_io_v1(const struct cgroup_host *h, int dir_fd, const struct cgroup_limits *l,
                     struct err *e)
{
    static const char *const file[] = { "blkio.throttle.read_bps_device",
                                        "blkio.throttle.write_bps_device" };
    char text[64];

    (void)snprintf(text, sizeof text, "%s %llu", h->disk,
                   (unsigned long long)l->io_bytes_per_s);
    for (size_t i = 0; i < ARRAY_LEN(file); i++) {
        int rc = task_write_file(dir_fd, file[i], text);
        if (rc < 0)
            return err_set(e, -rc, "set %s to %s", file[i], text);
    }
    return 0;
}

/* The limits that hold for the sandbox alone. */
static int limit_box_v2(const struct cgroup_host *h, int dir_fd, const struct cgroup_limits *l,
                        struct err *e)
{
    const struct setting memory[] = {
        { "memory.max", l->memory_bytes + CGROUP_MONITOR_BYTES, true },
        { "memory.swap.max", 0,
          false }, /* absent where the kernel has no swap accounting: then no swap */
        { "memory.low", l->memory_low_bytes, false },
    };
    const struct setting pids[] = { { "pids.max", l->pids, true } };

    if (h->v2_memory && apply(dir_fd, memory, ARRAY_LEN(memory), e) < 0)
        return -e->code;
    if (h->v2_pids && apply(dir_fd, pids, ARRAY_LEN(pids), e) < 0)
        return -e->code;
    return h->v2_io && h->disk[0] && l->io_bytes_per_s > 0 ? set_io_v2(h, dir_fd, l, e) : 0;
}

static int limit_v1(const struct cgroup_host *h, enum cgroup_v1 which, int dir_fd,
                    const struct cgroup_limits *l, struct err *e)
{
    const struct setting memory[] = {
        { "memory.limit_in_bytes", l->memory_bytes + CGROUP_MONITOR_BYTES, true },
        { "memory.memsw.limit_in_bytes", l->memory_bytes + CGROUP_MONITOR_BYTES,
          false }, /* absent without swap accounting */
        { "memory.swappiness", 0, false },
        /* v1 counts what TCP and UDP keep in flight beside the rest, and only once that has a limit. */
        { "memory.kmem.tcp.limit_in_bytes", l->memory_bytes / SOCKET_SHARE, true },
        { "memory.soft_limit_in_bytes", l->memory_low_bytes, false },
    };
    const struct setting cpu[] = {
        { "cpu.cfs_period_us", CPU_PERIOD_US, true },
        { "cpu.cfs_quota_us", quota_us(l), true },
        { "cpu.shares", l->cpu_shares, false },
    };
    const struct setting pids[] = { { "pids.max", l->pids, true } };

    if (which == CGROUP_V1_MEMORY && !h->v2_memory)
        return apply(dir_fd, memory, ARRAY_LEN(memory), e);
    if (which == CGROUP_V1_CPU && !h->v2_cpu)
        return apply(dir_fd, cpu, ARRAY_LEN(cpu), e);
    if (which == CGROUP_V1_PIDS && !h->v2_pids)
        return apply(dir_fd, pids, ARRAY_LEN(pids), e);
    if (which == CGROUP_V1_BLKIO && h->disk[0] && l->io_bytes_per_s > 0)
        return set_io_v1(h, dir_fd, l, e);
    return 0;
}

/* Hierarchies in which a sandbox gets a group: those that have a duty. On a hybrid host v1's
 * freezer has none. */
static bool v1_used(const struct cgroup_host *h, enum cgroup_v1 which)
{
    if (h->v1_fd[which] < 0)
        return false;
    switch (which) {
    case CGROUP_V1_MEMORY:
        return !h->v2_memory;
    case CGROUP_V1_CPU:
        return !h->v2_cpu;
    case CGROUP_V1_CPUACCT:
        return h->v2_fd < 0; /* v2 without the cpu controller still counts CPU time */
    case CGROUP_V1_PIDS:
        return !h->v2_pids;
    case CGROUP_V1_FREEZER:
        return h->v2_fd < 0;
    case CGROUP_V1_BLKIO: /* only with a disk to limit: one group less to make and enter */
        return !h->v2_io && h->disk[0];
    case CGROUP_V1_N:
        break;
    }
    return false;
}

/* The group of blkio is there only if the sandbox has a limit of it: one less to make and to
 * enter for all others. */
static bool wants_group(const struct cgroup_host *h, enum cgroup_v1 which,
                        const struct cgroup_limits *l)
{
    return v1_used(h, which) && (which != CGROUP_V1_BLKIO || l->io_bytes_per_s > 0);
}

static bool has_group(const struct cgroup_host *h, enum cgroup_v1 which, const char *id)
{
    return v1_used(h, which) &&
           (which != CGROUP_V1_BLKIO || faccessat(h->v1_fd[which], id, F_OK, 0) == 0);
}

/* Co-mounted controllers (cpu,cpuacct) share a directory: then the second mkdir finds it. */
static int make_group(int parent_fd, const char *id, bool may_exist, struct err *e)
{
    if (mkdirat(parent_fd, id, 0755) < 0 && !(may_exist && errno == EEXIST))
        return err_set(e, errno, "make cgroup '%s'", id);
    int fd = open_group(parent_fd, id);
    return fd < 0 ? err_set(e, errno, "open cgroup '%s'", id) : fd;
}

static int create_v2(const struct cgroup_host *h, const char *id, const struct cgroup_limits *l,
                     struct err *e)
{
    AUTO_CLOSE int fd = make_group(h->v2_fd, id, false, e);

    if (fd < 0)
        return fd;
    if (h->v2_cpu && set_cpu_v2(fd, l, e) < 0)
        return -e->code;
    if ((h->v2_memory && !enable(fd, "+memory")) || (h->v2_pids && !enable(fd, "+pids")) ||
        (h->v2_io && !enable(fd, "+io")))
        return err_set(e, errno, "pass controllers on to the children of cgroup '%s'", id);
    if (h->v2_memory) /* a child's protection counts as far as its parent's */
        (void)write_u64(fd, "memory.low", l->memory_low_bytes);
    if (mkdirat(fd, "mon", 0755) < 0)
        return err_set(e, errno, "make the children of cgroup '%s'", id);
    AUTO_CLOSE int box = make_group(fd, "box", false, e);
    return box < 0 ? box : limit_box_v2(h, box, l, e);
}

static int create_all(const struct cgroup_host *h, const char *id,
                      const struct cgroup_limits *l, struct err *e)
{
    if (h->v2_fd >= 0 && create_v2(h, id, l, e) < 0)
        return -e->code;
    for (int i = 0; i < CGROUP_V1_N; i++) {
        if (!wants_group(h, (enum cgroup_v1)i, l))
            continue;
        AUTO_CLOSE int fd = make_group(h->v1_fd[i], id, i == CGROUP_V1_CPUACCT, e);
        if (fd < 0)
            return fd;
        if (limit_v1(h, (enum cgroup_v1)i, fd, l, e) < 0)
            return -e->code;
    }
    return 0;
}

int cgroup_create(const struct cgroup_host *h, const char *id, const struct cgroup_limits *l,
                  struct err *e)
{
    int rc = create_all(h, id, l, e);
    if (rc < 0 && e->code != EEXIST)
        (void)cgroup_remove(h, id); /* empty, so it goes; the error that counts is in *e */
    return rc;
}

int cgroup_open_box(const struct cgroup_host *h, const char *id)
{
    char path[96];

    if (h->v2_fd < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s/box", id);
    return openat(h->v2_fd, path, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

static int put(int parent_fd, const char *id, const char *child, pid_t pid, struct err *e)
{
    char path[96];
    char text[24];

    (void)snprintf(path, sizeof path, "%s%s/cgroup.procs", id, child);
    (void)snprintf(text, sizeof text, "%d", (int)pid);
    int rc = task_write_file(parent_fd, path, text);
    return rc < 0 ? err_set(e, -rc, "put process %d into cgroup %s", (int)pid, path) : 0;
}

int cgroup_enter(const struct cgroup_host *h, const char *id, pid_t pid, bool born_in_box,
                 struct err *e)
{
    if (h->v2_fd >= 0 && !born_in_box && put(h->v2_fd, id, "/box", pid, e) < 0)
        return -e->code;
    for (int i = 0; i < CGROUP_V1_N; i++)
        if (has_group(h, (enum cgroup_v1)i, id) && put(h->v1_fd[i], id, "", pid, e) < 0)
            return -e->code;
    return 0;
}

int cgroup_move_monitor(const struct cgroup_host *h, const char *id, pid_t pid, struct err *e)
{
    static const enum cgroup_v1 leaves[] = { CGROUP_V1_MEMORY, CGROUP_V1_PIDS,
                                             CGROUP_V1_FREEZER, CGROUP_V1_BLKIO };

    if (h->v2_fd >= 0 && put(h->v2_fd, id, "/mon", pid, e) < 0)
        return -e->code;
    for (size_t i = 0; i < ARRAY_LEN(leaves); i++)
        if (has_group(h, leaves[i], id) && put(h->v1_fd[leaves[i]], ".", "", pid, e) < 0)
            return -e->code;
    return 0;
}

/* Opens id/file below a parent: for reading, or for both. */
static int open_file(int parent_fd, const char *id, const char *file, int flags)
{
    char path[96];

    if (parent_fd < 0)
        return -1;
    (void)snprintf(path, sizeof path, "%s/%s", id, file);
    return openat(parent_fd, path, flags | O_NOFOLLOW | O_CLOEXEC);
}

void cgroup_open_files(const struct cgroup_host *h, const char *id, int fds[CGROUP_FILE_N])
{
    int v2 = h->v2_fd;
    int memory = h->v1_fd[CGROUP_V1_MEMORY];

    if (v2 >= 0) {
        fds[CGROUP_FILE_FREEZE] = open_file(v2, id, "box/cgroup.freeze", O_WRONLY);
        fds[CGROUP_FILE_EVENTS] = open_file(v2, id, "box/cgroup.events", O_RDONLY);
        fds[CGROUP_FILE_CPU] = open_file(v2, id, "cpu.stat", O_RDONLY);
        fds[CGROUP_FILE_KILL] = open_file(v2, id, "box/cgroup.kill", O_WRONLY);
    } else {
        fds[CGROUP_FILE_KILL] = -1;
        fds[CGROUP_FILE_FREEZE] =
            open_file(h->v1_fd[CGROUP_V1_FREEZER], id, "freezer.state", O_WRONLY);
        fds[CGROUP_FILE_EVENTS] =
            open_file(h->v1_fd[CGROUP_V1_FREEZER], id, "freezer.state", O_RDONLY);
        fds[CGROUP_FILE_CPU] =
            open_file(h->v1_fd[CGROUP_V1_CPUACCT], id, "cpuacct.usage", O_RDONLY);
    }
    if (h->v2_memory) {
        fds[CGROUP_FILE_MEMORY] = open_file(v2, id, "box/memory.current", O_RDONLY);
        fds[CGROUP_FILE_PEAK] = open_file(v2, id, "box/memory.peak", O_RDONLY);
        fds[CGROUP_FILE_OOM] = open_file(v2, id, "box/memory.events", O_RDONLY);
    } else {
        fds[CGROUP_FILE_MEMORY] = open_file(memory, id, "memory.usage_in_bytes", O_RDONLY);
        fds[CGROUP_FILE_PEAK] = open_file(memory, id, "memory.max_usage_in_bytes", O_RDONLY);
        fds[CGROUP_FILE_OOM] = open_file(memory, id, "memory.oom_control", O_RDONLY);
    }
    fds[CGROUP_FILE_PIDS] =
        h->v2_pids ? open_file(v2, id, "box/pids.current", O_RDONLY)
                   : open_file(h->v1_fd[CGROUP_V1_PIDS], id, "pids.current", O_RDONLY);
}

uint64_t cgroup_number(struct str text, const char *key)
{
    struct str line, name, value;
    uint64_t v = 0;

    while (text.n > 0) {
        (void)str_cut(text, '\n', &line, &text);
        if (*key == 0)
            value = line;
        else if (!str_cut(line, ' ', &name, &value) || !str_eq(name, str_from(key)))
            continue;
        (void)num_parse_u64(value, 0, UINT64_MAX, &v); /* not a number: 0 */
        return v;
    }
    return 0;
}

static uint64_t number_in(int dir_fd, const char *path, const char *key)
{
    char text[4096];
    AUTO_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);

    return cgroup_number((struct str){ text, n > 0 ? (size_t)n : 0 }, key);
}

uint64_t cgroup_oom_kills(const struct cgroup_host *h, const char *id)
{
    char path[96];

    (void)snprintf(path, sizeof path,
                   h->v2_memory ? "%s/box/memory.events" : "%s/memory.oom_control", id);
    return number_in(h->v2_memory ? h->v2_fd : h->v1_fd[CGROUP_V1_MEMORY], path, "oom_kill");
}

uint64_t cgroup_host_memory(const struct cgroup_host *h)
{
    return h->v2_memory ? number_in(h->v2_fd, "memory.current", "")
                        : number_in(h->v1_fd[CGROUP_V1_MEMORY], "memory.usage_in_bytes", "");
}

int cgroup_host_limit(const struct cgroup_host *h, uint64_t memory_bytes, uint32_t pids,
                      struct err *e)
{
    /* More than the kernel can count means no limit to it. */
    uint64_t bytes = memory_bytes > 0 ? memory_bytes : INT64_MAX;
    const struct setting memory_v2[] = { { "memory.max", bytes, true } };
    const struct setting memory_v1[] = {
        { "memory.memsw.limit_in_bytes", INT64_MAX, false }, /* never below the other */
        { "memory.limit_in_bytes", bytes, true },
        { "memory.memsw.limit_in_bytes", bytes, false },
    };
    char text[24];
    int rc = h->v2_memory
                 ? apply(h->v2_fd, memory_v2, ARRAY_LEN(memory_v2), e)
                 : apply(h->v1_fd[CGROUP_V1_MEMORY], memory_v1, ARRAY_LEN(memory_v1), e);

    if (rc < 0)
        return rc;
    (void)snprintf(text, sizeof text, "%u", pids);
    rc = task_write_file(h->v2_pids ? h->v2_fd : h->v1_fd[CGROUP_V1_PIDS], "pids.max",
                         pids > 0 ? text : "max");
    return rc < 0 ? err_set(e, -rc, "set pids.max of all sandboxes to %u", pids) : 0;
}

/* Throttles are of whole disks: a partition's limit is its disk's. */
int cgroup_host_set_disk(struct cgroup_host *h, int fd)
{
    char path[64], text[CGROUP_DISK_MAX];
    struct stat st;
    AUTO_CLOSE int dir = -1;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (!h->v2_io && h->v1_fd[CGROUP_V1_BLKIO] < 0)
        return -ENODEV;
    (void)snprintf(path, sizeof path, "/sys/dev/block/%u:%u", major(st.st_dev),
                   minor(st.st_dev));
    dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return -ENODEV;
    bool is_part = faccessat(dir, "partition", F_OK, 0) == 0;
    AUTO_CLOSE int dev = openat(dir, is_part ? "../dev" : "dev", O_RDONLY | O_CLOEXEC);
    ssize_t n = dev < 0 ? -1 : read(dev, text, sizeof text);
    struct str line, rest;
    if (n <= 0)
        return -ENODEV;
    (void)str_cut((struct str){ text, (size_t)n }, '\n', &line, &rest);
    return str_copy(line, h->disk, sizeof h->disk);
}

/* v1 has no kill file: read the list and signal, until a pass finds nobody new. The pids come
 * from the kernel and belong to the sandbox; a pid that is reused between the two calls is in
 * no group of ours with a probability that this loop accepts, since the group's own pid
 * namespace dies with its init, which the warden kills through a pidfd first. */
static int kill_v1(int parent_fd, const char *id)
{
    char path[96];

    (void)snprintf(path, sizeof path, "%s/freezer.state", id);
    (void)task_write_file(
        parent_fd, path,
        "THAWED"); /* a frozen process does not die; other hierarchies lack the file */
    (void)snprintf(path, sizeof path, "%s/cgroup.procs", id);
    for (int pass = 0; pass < 8; pass++) {
        AUTO_CLOSE int fd = openat(parent_fd, path, O_RDONLY | O_CLOEXEC);
        char text[65536];
        if (fd < 0)
            return -errno;
        ssize_t n = read(fd, text, sizeof text - 1);
        if (n <= 0)
            return n < 0 ? -errno : 0;
        struct str rest = { text, (size_t)n };
        struct str line;
        while (str_cut(rest, '\n', &line, &rest)) {
            uint64_t pid;
            if (num_parse_u64(line, 2, INT32_MAX, &pid) == 0)
                (void)kill((pid_t)pid, SIGKILL); /* may be gone already */
        }
    }
    return 0;
}

int cgroup_kill(const struct cgroup_host *h, const char *id)
{
    if (h->v2_fd >= 0) {
        char path[96];
        (void)snprintf(path, sizeof path, "%s/cgroup.kill", id);
        int rc = task_write_file(h->v2_fd, path, "1");
        if (rc == 0)
            return 0;
        (void)snprintf(path, sizeof path, "%s/box",
                       id); /* before Linux 5.14 there is no cgroup.kill */
        return kill_v1(h->v2_fd, path);
    }
    return kill_v1(h->v1_fd[CGROUP_V1_FREEZER], id);
}

static int remove_one(int parent_fd, const char *path)
{
    if (unlinkat(parent_fd, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
        return -errno;
    return 0;
}

int cgroup_remove(const struct cgroup_host *h, const char *id)
{
    char path[96];
    int worst = 0;

    if (h->v2_fd >= 0) {
        const char *const part[] = { "/box", "/mon", "" };
        for (size_t i = 0; i < ARRAY_LEN(part); i++) {
            (void)snprintf(path, sizeof path, "%s%s", id, part[i]);
            int rc = remove_one(h->v2_fd, path);
            worst = rc < 0 ? rc : worst;
        }
    }
    for (int i = 0; i < CGROUP_V1_N; i++) {
        if (h->v1_fd[i] < 0)
            continue;
        int rc = remove_one(h->v1_fd[i], id);
        worst = rc < 0 ? rc : worst;
    }
    return worst;
}

static void each_in(int parent_fd, void (*fn)(const char *id, void *arg), void *arg)
{
    int fd = openat(parent_fd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (!d) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    for (struct dirent *ent = readdir(d); ent; ent = readdir(d))
        if (ent->d_type == DT_DIR && ent->d_name[0] != '.')
            fn(ent->d_name, arg);
    (void)closedir(d); /* read only */
}

void cgroup_each(const struct cgroup_host *h, void (*fn)(const char *id, void *arg), void *arg)
{
    if (h->v2_fd >= 0)
        each_in(h->v2_fd, fn, arg);
    for (int i = 0; i < CGROUP_V1_N; i++)
        if (h->v1_fd[i] >= 0)
            each_in(h->v1_fd[i], fn, arg);
}

void cgroup_host_remove(struct cgroup_host *h, const char *parent)
{
    cgroup_host_close(h);
    const char *const mount[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };
    for (size_t i = 0; i < ARRAY_LEN(mount); i++) {
        AUTO_CLOSE int fd = open_mount(mount[i], CGROUP2_SUPER_MAGIC);
        if (fd >= 0)
            (void)remove_one(fd, parent); /* not empty: another sandbox's, stays */
    }
    for (int i = 0; i < CGROUP_V1_N; i++) {
        char path[64];
        (void)snprintf(path, sizeof path, "/sys/fs/cgroup/%s", v1_name[i]);
        AUTO_CLOSE int fd = open_mount(path, CGROUP_SUPER_MAGIC);
        if (fd >= 0)
            (void)remove_one(fd, parent);
    }
}
