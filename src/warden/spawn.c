/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/ipc.h"
#include "sys/task.h"
#include "warden/warden.h"

#define CPU_RESERVATION_SHARES 512u /* R63 */
#define LIFTED                 100  /* where descriptors wait for their fixed numbers */

/* What the child needs, opened by the parent. -1 stands for /dev/null. */
struct heritage {
    int fd[JAILMON_FD_CGROUP + CGROUP_FILE_N]; /* by their number in the child; 0..2 unused */
};

/* --- in the child: a copy of the warden, as yet without any id, with all capabilities in its
 * own user namespace only --- */

static int place_fds(const struct app *a, struct heritage *h, int *exec_fd)
{
    enum { N = JAILMON_FD_CGROUP + CGROUP_FILE_N };

    *exec_fd = fcntl(a->jailmon_fd, F_DUPFD_CLOEXEC, LIFTED + N);
    for (int i = 3; i < N; i++) {
        h->fd[i] = fcntl(h->fd[i] < 0 ? a->null_fd : h->fd[i], F_DUPFD, LIFTED);
        if (h->fd[i] < 0)
            return -errno;
    }
    int null = fcntl(a->null_fd, F_DUPFD, LIFTED);
    if (*exec_fd < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
        return -errno;
    for (int i = 3; i < N; i++)
        if (dup2(h->fd[i], i) < 0)
            return -errno;
    /* All else goes: the warden's sockets, tables, other sandboxes' descriptors. The program to
     * execute is close-on-exec. */
    int keep = fcntl(*exec_fd, F_DUPFD_CLOEXEC, N);
    if (keep < 0 || syscall(SYS_close_range, (unsigned)keep + 1, ~0U, 0U) < 0)
        return -errno;
    if (keep > N && syscall(SYS_close_range, (unsigned)N, (unsigned)keep - 1, 0U) < 0)
        return -errno;
    *exec_fd = keep;
    return 0;
}

static _Noreturn void run_monitor(const struct app *a, struct heritage *h, int wardens_end)
{
    static char name[] = "jailmon";
    char *const argv[] = { name, NULL };
    char *const envp[] = { NULL };
    struct jailmon_report failed = { .event = JAILMON_FAILED, .step = STEP_ID_MAP };
    struct err e = { 0 };
    sigset_t none;
    int exec_fd = -1;
    char go;

    /* With our copy of its end open we would never learn that the warden has died, and would hold
     * its lock and its clients' connections for ever. */
    (void)close(wardens_end);
    /* The parent writes our id maps, makes the mount that depends on them, and sends it with
     * one byte. */
    int got[2];
    int rc = ipc_recv(h->fd[JAILMON_FD_WARDEN], &go, 1, got, ARRAY_LEN(got), NULL);
    if (rc < 0)
        _exit(1);
    h->fd[JAILMON_FD_LOWER] = got[0];
    h->fd[JAILMON_FD_LAYER] = got[1];
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL); /* the warden's mask is for its signalfd */
    rc = task_set_ids(0, 0, &e);
    if (rc == 0) {
        failed.step = STEP_MONITOR_EXEC;
        rc = place_fds(a, h, &exec_fd);
    }
    if (rc == 0) {
        (void)syscall(SYS_execveat, exec_fd, "", argv, envp, AT_EMPTY_PATH);
        rc = -errno;
    }
    failed.error = -rc;
    (void)ipc_send(JAILMON_FD_WARDEN, &failed, sizeof failed, NULL,
                   0); /* nobody else is left to tell */
    _exit(1);
}

/* --- in the warden --- */

static int bind_monitor_socket(const struct app *a, const struct slot *s)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    char name[32];
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(name, sizeof name, "%u.sock", table_index(a, s));
    (void)unlinkat(a->sb_fd, name, 0); /* of a sandbox that crashed in this slot */
    socket_name(a, s, un.sun_path);
    mode_t old = umask(0177);
    int rc = fd < 0 || bind(fd, (const struct sockaddr *)&un, sizeof un) < 0 ? -errno : 0;
    (void)umask(old);
    return rc < 0 ? rc : fd_steal(&fd);
}

/* Why it is safe: the map names one range that belongs to this slot alone; no host id of the
 * system is in it (checked at start). */
static int write_maps(const struct app *a, const struct slot *s)
{
    static const char *const file[] = { "uid_map", "gid_map" };
    char path[64], map[64];

    (void)snprintf(map, sizeof map, "0 %u %u\n", table_uid(a, s), UIDS_PER_SANDBOX);
    for (size_t i = 0; i < ARRAY_LEN(file); i++) {
        (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)s->monitor_pid, file[i]);
        int rc = task_write_file(AT_FDCWD, path, map);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int spawn_set_oom_score(const struct slot *s, const char *score)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/oom_score_adj", (int)s->monitor_pid);
    return task_write_file(AT_FDCWD, path, score);
}

static bool on_disk(const struct slot *s)
{
    return (s->rec.policy.flags & SANDBOX_DISK_FILE) != 0;
}

/* The user namespace is that of the child we have just cloned, which has not executed anything
 * yet. */
static int send_lower(struct app *a, const struct slot *s, enum sandbox_step *step)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/%d/ns/user", (int)s->monitor_pid);
    AUTO_CLOSE int userns = open(path, O_RDONLY | O_CLOEXEC);
    if (userns < 0)
        return -errno;
    AUTO_CLOSE int lower = image_clone(a, &s->rec.image, userns);
    if (lower < 0) {
        *step = lower == -ENOENT ? STEP_IMAGE : STEP_IDMAP_MOUNT;
        return lower;
    }
    if (on_disk(s)) {
        *step = STEP_DISK_LAYER;
        AUTO_CLOSE int disk = disk_make(a, s, userns);
        const int parts[] = { lower, disk };
        return disk < 0 ? disk : ipc_send(s->ctl_fd, "g", 1, parts, ARRAY_LEN(parts));
    }
    if (!a->makes_layers)
        return ipc_send(s->ctl_fd, "g", 1, &lower, 1);
    AUTO_CLOSE int layer = -1;
    *step = STEP_OVERLAY;
    AUTO_CLOSE int root = layer_make(a, s, lower, &layer);
    const int both[] = { root, layer };
    return root < 0 ? root : ipc_send(s->ctl_fd, "g", 1, both, ARRAY_LEN(both));
}

static int send_start(const struct app *a, const struct slot *s)
{
    const struct jailmon_start start = {
        .version = WARDEN_VERSION,
        .root_ready = a->makes_layers && !on_disk(s), /* ext4 has user xattrs anywhere */
        .freezer_v1 = a->cgroup.v2_fd < 0,
        .id = s->rec.id,
        .limits = s->rec.limits,
        .deadline_ns = s->rec.deadline_ns,
        .policy = s->rec.policy,
    };
    return ipc_send(s->ctl_fd, &start, sizeof start, NULL, 0);
}

static void close_cgroup_files(struct heritage *h)
{
    for (int i = 0; i < CGROUP_FILE_N; i++)
        if (h->fd[JAILMON_FD_CGROUP + i] >= 0)
            (void)close(h->fd[JAILMON_FD_CGROUP + i]); /* the child has its own */
}

/* Clones the monitor into its cgroup, with its descriptors. */
static int clone_monitor(struct app *a, struct slot *s, enum sandbox_step *step)
{
    struct heritage h;
    int ctl[2];

    for (size_t i = 0; i < ARRAY_LEN(h.fd); i++)
        h.fd[i] = -1;
    *step = STEP_CLONE;
    AUTO_CLOSE int listen_fd = bind_monitor_socket(a, s);
    AUTO_CLOSE int agent = agent_clone(a);
    AUTO_CLOSE int box = cgroup_open_box(&a->cgroup, s->rec.id.text);
    if (listen_fd < 0 || agent < 0)
        return listen_fd < 0 ? listen_fd : agent;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl) < 0)
        return -errno;
    AUTO_CLOSE int theirs = ctl[1];
    s->ctl_fd = ctl[0];
    if (fcntl(s->ctl_fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    h.fd[JAILMON_FD_WARDEN] = theirs;
    h.fd[JAILMON_FD_LISTEN] = listen_fd;
    h.fd[JAILMON_FD_AGENT] = agent;
    cgroup_open_files(&a->cgroup, s->rec.id.text, &h.fd[JAILMON_FD_CGROUP]);
    /* The monitor is the init of a pid namespace in which its sandbox lives: the kernel kills the
     * one with the other, whoever is or is not there to see it (ADR 0045). */
    int rc = stage_enter(a);
    if (rc < 0) {
        close_cgroup_files(&h);
        return rc;
    }
    pid_t pid = task_clone(CLONE_NEWUSER | CLONE_NEWPID, &s->monitor_pidfd, box);
    if (pid == 0)
        run_monitor(a, &h, s->ctl_fd);
    stage_leave(a);
    close_cgroup_files(&h);
    if (pid < 0)
        return pid;
    s->monitor_pid = pid;
    s->exited = false;
    return box >= 0;
}

int spawn_start(struct app *a, struct slot *s, enum sandbox_step *step)
{
    const struct cgroup_limits limits = {
        .memory_bytes = s->rec.limits.memory_bytes,
        .memory_low_bytes = reservation_of(&s->rec.limits),
        .cpu_millis = s->rec.limits.cpu_millis,
        .cpu_shares =
            s->rec.policy.cpu_shares > 0 ? s->rec.policy.cpu_shares : CPU_RESERVATION_SHARES,
        .pids = s->rec.limits.pids,
        .io_bytes_per_s = s->rec.policy.io_bytes_per_s,
    };
    struct err e = { 0 };
    int rc;

    s->exited = true; /* nothing to kill yet */
    *step = STEP_RECORD;
    if ((rc = record_write(a, s)) < 0)
        return rc;
    *step = STEP_CGROUP;
    if (cgroup_create(&a->cgroup, s->rec.id.text, &limits, &e) < 0) {
        log_error("cgroup_failed", "sandbox=%s err=\"%s\"", s->rec.id.text, e.text);
        return -e.code;
    }
    if ((rc = clone_monitor(a, s, step)) < 0)
        return rc;
    *step = STEP_CGROUP;
    if (cgroup_enter(&a->cgroup, s->rec.id.text, s->monitor_pid, rc == 1, &e) < 0) {
        log_error("cgroup_failed", "sandbox=%s err=\"%s\"", s->rec.id.text, e.text);
        return -e.code;
    }
    if ((rc = spawn_set_oom_score(s, SANDBOX_OOM_SCORE)) < 0)
        return rc;
    *step = STEP_ID_MAP;
    if ((rc = write_maps(a, s)) < 0)
        return rc;
    *step = STEP_IDMAP_MOUNT;
    if ((rc = send_lower(a, s, step)) < 0)
        return rc;
    *step = STEP_MONITOR_EXEC;
    return send_start(a, s);
}

void slot_kill(struct app *a, struct slot *s, enum sandbox_cause cause)
{
    if (s->state == SLOT_DYING)
        return;
    s->state = SLOT_DYING;
    s->since_ns = clock_mono_ns();
    if (s->cause == CAUSE_UNKNOWN)
        s->cause = cause;
    if (!s->exited)
        (void)task_kill_pidfd(s->monitor_pidfd, SIGKILL); /* gone already: as good */
    (void)cgroup_kill(&a->cgroup, s->rec.id.text);
}

bool slot_reap(struct app *a, struct slot *s)
{
    if (!s->exited)
        return false;
    uint64_t oom_kills = cgroup_oom_kills(&a->cgroup, s->rec.id.text);
    if (oom_kills > s->oom_kills)
        s->oom_kills = oom_kills;
    int rc = cgroup_remove(&a->cgroup, s->rec.id.text);
    if (rc < 0) {
        if (rc != -EBUSY)
            log_error("cgroup_stuck", "sandbox=%s err=%d", s->rec.id.text, -rc);
        (void)cgroup_kill(&a->cgroup,
                          s->rec.id.text); /* born while we killed, or still dying */
        return false;
    }
    record_remove(a, s);
    if (s->monitor_pidfd >= 0)
        (void)close(s->monitor_pidfd);
    if (s->ctl_fd >= 0)
        (void)close(s->ctl_fd);
    if (s->watch_fd >= 0)
        (void)close(s->watch_fd);
    log_event(sandbox_cause_is_normal(s->cause) ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
              "sandbox_ended", "sandbox=%s cause=%s", s->rec.id.text,
              sandbox_cause_text(s->cause));
    serve_tell_exit(a, s);
    *s = (struct slot){ .monitor_pidfd = -1, .ctl_fd = -1, .watch_fd = -1 };
    return true;
}
