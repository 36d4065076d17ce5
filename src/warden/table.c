/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/ipc.h"
#include "ipc/monitor_proto.h"
#include "sys/task.h"
#include "warden/warden.h"

#define SWEEP_TRIES 100

struct slot *table_find(struct app *a, const struct sandbox_id *id)
{
    for (uint32_t i = 0; i < a->n_slots; i++)
        if (a->slot[i].state != SLOT_FREE && memcmp(&a->slot[i].rec.id, id, sizeof *id) == 0)
            return &a->slot[i];
    return NULL;
}

struct slot *table_take(struct app *a)
{
    for (uint32_t i = 0; i < a->opt.max_sandboxes; i++) {
        if (a->slot[i].state != SLOT_FREE)
            continue;
        if (i >= a->n_slots)
            a->n_slots = i + 1;
        return &a->slot[i];
    }
    return NULL;
}

uint32_t table_count(const struct app *a)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < a->n_slots; i++)
        n += a->slot[i].state != SLOT_FREE;
    return n;
}

void table_shrink(struct app *a)
{
    while (a->n_slots > 0 && a->slot[a->n_slots - 1].state == SLOT_FREE)
        a->n_slots--;
}

uint32_t table_index(const struct app *a, const struct slot *s)
{
    return (uint32_t)(s - a->slot);
}

uint32_t table_uid(const struct app *a, const struct slot *s)
{
    return a->opt.uid_base + table_index(a, s) * UIDS_PER_SANDBOX;
}

/* `firebreak check-invariants` reads the beginning of a record, and is no part of this build's ABI. */
_Static_assert(offsetof(struct record, slot) == 4 && offsetof(struct record, id) == 8,
               "as warden(8) says");

static void record_name(uint32_t slot, char out[32])
{
    (void)snprintf(out, 32, "%u.rec", slot);
}

/* Written before the first resource is made: whatever a crash leaves behind has a record that
 * names it. */
int record_write(struct app *a, const struct slot *s)
{
    char name[32];

    record_name(table_index(a, s), name);
    AUTO_CLOSE int fd =
        openat(a->sb_fd, ".new", O_CREAT | O_TRUNC | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, &s->rec, sizeof s->rec);
    if (n != (ssize_t)sizeof s->rec)
        return n < 0 ? -errno : -ENOSPC;
    return renameat(a->sb_fd, ".new", a->sb_fd, name) < 0 ? -errno : 0;
}

void record_remove(struct app *a, const struct slot *s)
{
    char name[32];

    (void)snprintf(name, sizeof name, "%u.sock", table_index(a, s));
    (void)unlinkat(a->sb_fd, name, 0); /* may never have been made */
    record_name(table_index(a, s), name);
    (void)unlinkat(a->sb_fd, name, 0); /* likewise */
}

void socket_name(const struct app *a, const struct slot *s, char out[64])
{
    (void)snprintf(out, 64, "/proc/self/fd/%d/%u.sock", a->sb_fd, table_index(a, s));
}

int monitor_connect(const struct app *a, const struct slot *s, struct ucred *who)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    socklen_t n = sizeof *who;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    socket_name(a, s, un.sun_path);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&un, sizeof un) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, who, &n) < 0) /* who called listen */
        return -errno;
    if (fcntl(fd, F_SETFL, 0) <
        0) /* non-blocking was for our connect; the API gets a blocking one */
        return -errno;
    return fd_steal(&fd);
}

/* The connection proves that the monitor lived when it was made; that it still stands after
 * pidfd_open proves that the pid was not used again in between. A sandbox whose uids are not
 * those of its slot (the warden before us had another --uid-base) is not adopted: one of ours
 * would get the same uids. */
static int adopt_live(struct app *a, struct slot *s)
{
    struct ucred who = { 0 };
    AUTO_CLOSE int fd = monitor_connect(a, s, &who);
    if (fd < 0)
        return fd;
    if (who.uid != table_uid(a, s) + UIDS_PER_SANDBOX - 1 ||
        table_index(a, s) >= a->opt.max_sandboxes)
        return -ERANGE;
    AUTO_CLOSE int pidfd = task_open_pidfd(who.pid);
    if (pidfd < 0)
        return pidfd;
    struct pollfd p = { fd, POLLIN, 0 };
    if (poll(&p, 1, 0) != 0)
        return -ECONNRESET;
    const struct monitor_msg watch = { .type = MONITOR_WATCH, .version = MONITOR_VERSION };
    if (fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && ipc_send(fd, &watch, sizeof watch, NULL, 0) == 0)
        s->watch_fd = fd_steal(&fd); /* else its end will have no cause that we know */
    s->adopted = true;
    s->monitor_pid = who.pid;
    s->monitor_pidfd = fd_steal(&pidfd);
    return 0;
}

static int record_read(struct app *a, uint32_t index, struct record *out)
{
    char name[32];
    struct stat st;

    record_name(index, name);
    AUTO_CLOSE int fd = openat(a->sb_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || st.st_uid != 0 || st.st_size != (off_t)sizeof *out ||
        read(fd, out, sizeof *out) != (ssize_t)sizeof *out)
        return -EBADMSG;
    if (out->version != RECORD_VERSION || out->slot != index || !sandbox_id_ok(&out->id))
        return -EBADMSG;
    return 0;
}

static void adopt_slot(struct app *a, uint32_t index)
{
    struct slot *s = &a->slot[index];
    struct record rec;
    int rc = record_read(a, index, &rec);

    if (rc == -ENOENT)
        return;
    if (rc < 0) {
        log_error("record_unreadable", "slot=%u err=%d", index, -rc);
        record_remove(a, s);
        return; /* its cgroup, if any, falls to the sweep */
    }
    *s = (struct slot){ .state = SLOT_RUNNING,
                        .rec = rec,
                        .monitor_pidfd = -1,
                        .ctl_fd = -1,
                        .watch_fd = -1,
                        .since_ns = clock_mono_ns() };
    a->n_slots = index + 1; /* they come in ascending order */
    rc = adopt_live(a, s);
    if (rc == 0) {
        log_info("sandbox_adopted", "sandbox=%s pid=%d", rec.id.text, (int)s->monitor_pid);
        serve_watch_slot(a, s);
        return;
    }
    log_warn("sandbox_leftover", "sandbox=%s err=%d", rec.id.text, -rc);
    s->exited = true;
    slot_kill(a, s, CAUSE_MONITOR_LOST);
}

/* Groups without a record: of a record that was unreadable, or of an older instance of another
 * size. All are killed before the first is waited for. */
static bool is_leftover(struct app *a, const char *name)
{
    struct sandbox_id id = { 0 };

    if (strnlen(name, sizeof id.text) == SANDBOX_ID_LEN)
        memcpy(id.text, name, SANDBOX_ID_LEN);
    return !sandbox_id_ok(&id) || !table_find(a, &id);
}

static void kill_leftover(const char *name, void *arg)
{
    struct app *a = arg;

    if (!is_leftover(a, name))
        return;
    log_warn("cgroup_leftover", "cgroup=%.40s", name);
    (void)cgroup_kill(&a->cgroup, name); /* removing it fails until that has worked */
}

struct removal {
    struct app *a;
    bool busy;
};

static void remove_leftover(const char *name, void *arg)
{
    struct removal *r = arg;

    if (is_leftover(r->a, name) && cgroup_remove(&r->a->cgroup, name) == -EBUSY)
        r->busy = true;
}

static void sweep(struct app *a)
{
    struct removal r = { .a = a, .busy = true };

    cgroup_each(&a->cgroup, kill_leftover, a);
    for (int i = 0; i < SWEEP_TRIES && r.busy; i++) {
        r.busy = false;
        cgroup_each(&a->cgroup, remove_leftover, &r);
        if (r.busy)
            (void)usleep(10000); /* at start nobody waits for us yet */
    }
}

void table_adopt(struct app *a)
{
    for (uint32_t i = 0; i < WARDEN_MAX_SANDBOXES; i++)
        adopt_slot(a, i);
    sweep(a);
}
