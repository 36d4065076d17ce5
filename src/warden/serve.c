/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "ipc/ipc.h"
#include "ipc/monitor_proto.h"
#include "warden/warden.h"

#define DYING_RETRY_MS 2
#define STUCK_RETRY_MS 100
#define STUCK_NS       (200 * NS_PER_MS)

/* epoll tags: kind in the high half, index in the low. */
enum kind { KIND_LISTEN = 1, KIND_SIGNAL, KIND_CLIENT, KIND_CTL, KIND_WATCH, KIND_PIDFD };

static uint64_t tag(enum kind kind, uint32_t index)
{
    return (uint64_t)kind << 32 | index;
}

static int watch(const struct app *a, int fd, uint64_t t)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = t };
    return epoll_ctl(a->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

void serve_watch_slot(struct app *a, struct slot *s)
{
    uint32_t i = table_index(a, s);

    /* Out of memory for a watch: the sandbox's end would go unseen, so it ends now. */
    if ((s->ctl_fd >= 0 && watch(a, s->ctl_fd, tag(KIND_CTL, i)) < 0) ||
        (s->watch_fd >= 0 && watch(a, s->watch_fd, tag(KIND_WATCH, i)) < 0) ||
        watch(a, s->monitor_pidfd, tag(KIND_PIDFD, i)) < 0) {
        s->failed_step = STEP_ADMIT;
        s->failed_errno = ENOMEM;
        slot_kill(a, s, CAUSE_START_FAILED);
    }
}

/* --- answers --- */

static void drop_client(struct app *a, uint32_t i, const char *why)
{
    if (a->client[i].fd < 0)
        return;
    log_info("client_gone", "client=%u why=%s", i, why);
    (void)close(a->client[i].fd);
    a->client[i].fd = -1;
    a->client[i].generation++;
    a->client[i].greeted = false;
}

static void send_to(struct app *a, uint32_t i, const struct warden_msg *m, int fd)
{
    /* A client that lets its queue fill up does not read; it reconnects and lists. */
    if (ipc_send(a->client[i].fd, m, sizeof *m, &fd, fd >= 0 ? 1 : 0) < 0)
        drop_client(a, i, "unread_answers");
}

static void answer_waiter(struct app *a, const struct waiter *w, struct warden_msg *m, int fd)
{
    const struct client *c = &a->client[w->client];

    if (c->fd < 0 || c->generation != w->generation)
        return; /* nobody is left to tell */
    m->version = WARDEN_VERSION;
    m->request_id = w->request_id;
    send_to(a, w->client, m, fd);
}

static struct warden_msg describe(const struct app *a, const struct slot *s,
                                  enum warden_type type)
{
    return (struct warden_msg){
        .type = type,
        .version = WARDEN_VERSION,
        .host_uid = table_uid(a, s),
        .id = s->rec.id,
        .image = s->rec.image,
        .limits = s->rec.limits,
        .deadline_ns = s->rec.deadline_ns,
        .monitor_pid = (uint64_t)s->monitor_pid,
    };
}

static void tell_killers(struct app *a, struct slot *s)
{
    for (uint32_t i = 0; i < s->n_killers; i++) {
        struct warden_msg gone = describe(a, s, WARDEN_KILL);
        gone.cause = s->cause;
        gone.oom_kills = s->oom_kills;
        gone.tripwires = s->tripwires;
        answer_waiter(a, &s->killer[i], &gone, -1);
    }
}

void serve_tell_exit(struct app *a, struct slot *s)
{
    struct warden_msg m = describe(a, s, WARDEN_EXITED);

    m.cause = s->cause;
    m.oom_kills = s->oom_kills;
    m.tripwires = s->tripwires;
    tell_killers(a, s);   /* first: they wait */
    if (s->has_spawner) { /* it never came up: SPAWN's answer says so, and which step it was */
        struct warden_msg failed = describe(a, s, WARDEN_SPAWN);
        failed.status = s->failed_errno > 0 ? -s->failed_errno : -ECANCELED;
        failed.step = s->failed_step;
        answer_waiter(a, &s->spawner, &failed, -1);
        return;
    }
    for (uint32_t i = 0; i < MAX_CLIENTS; i++)
        if (a->client[i].fd >= 0 && a->client[i].greeted)
            send_to(a, i, &m, -1);
}

/* --- requests. Each handler's comment says why a sender that has been taken over gains nothing
 * by it. --- */

static void reply_status(struct app *a, uint32_t i, const struct warden_msg *req, int status)
{
    struct warden_msg m = *req;
    m.status = status;
    send_to(a, i, &m, -1);
}

/* Tells numbers that every client may know. */
static void on_hello(struct app *a, uint32_t i, const struct warden_msg *req)
{
    struct warden_msg m = { .type = WARDEN_HELLO,
                            .version = WARDEN_VERSION,
                            .request_id = req->request_id,
                            .n_sandboxes = table_count(a),
                            .max_sandboxes = a->opt.max_sandboxes };
    a->client[i].greeted = true;
    send_to(a, i, &m, -1);
}

static bool in_range(uint64_t v, uint64_t min, uint64_t max)
{
    return v >= min && v <= max;
}

static bool limits_ok(const struct sandbox_limits *l)
{
    const uint64_t mib = UINT64_C(1) << 20, gib = UINT64_C(1) << 30;

    return in_range(l->memory_bytes, 64 * mib, 64 * gib) &&
           in_range(l->disk_bytes, mib, 64 * gib) &&
           in_range(l->disk_inodes, 1024, 16u << 20) && in_range(l->cpu_millis, 50, 64000) &&
           in_range(l->pids, 16, 32768);
}

static bool policy_ok(const struct sandbox_policy *p)
{
    return p->profile < PROFILE_MAX && (p->flags & ~SANDBOX_FLAGS) == 0 && p->reserved == 0 &&
           (p->cpu_shares == 0 || in_range(p->cpu_shares, 2, 262144));
}

static void fail_start(struct app *a, struct slot *s, enum sandbox_step step, int error)
{
    s->failed_step = step;
    s->failed_errno = error;
    log_error("sandbox_start_failed", "sandbox=%s step=\"%s\" err=%d", s->rec.id.text,
              sandbox_step_text(step), error);
    slot_kill(a, s, CAUSE_START_FAILED);
}

/* A sender can fill its own table and start sandboxes of images that root put into the store,
 * each within the limits' ranges and in its own uid range; it chooses no path, no id on the
 * host and no capability. */
static void on_spawn(struct app *a, uint32_t i, const struct warden_msg *req)
{
    enum sandbox_step step = STEP_ADMIT;
    struct slot *s = table_take(a);

    if (!sandbox_id_ok(&req->id) || !limits_ok(&req->limits) || !policy_ok(&req->policy)) {
        reply_status(a, i, req, -EINVAL);
        return;
    }
    if (!s || a->stopping || table_find(a, &req->id)) {
        reply_status(a, i, req, !s || a->stopping ? -EAGAIN : -EEXIST);
        return;
    }
    int no = admit(a, &req->limits);
    if (no < 0) {
        log_warn("sandbox_refused", "sandbox=%s why=%s", req->id.text,
                 no == -EDQUOT ? "total_memory" : "host_memory");
        reply_status(a, i, req, no);
        return;
    }
    *s = (struct slot){ .state = SLOT_STARTING,
                        .rec = { .version = RECORD_VERSION,
                                 .slot = table_index(a, s),
                                 .id = req->id,
                                 .image = req->image,
                                 .limits = req->limits,
                                 .deadline_ns = req->deadline_ns,
                                 .policy = req->policy },
                        .monitor_pidfd = -1,
                        .ctl_fd = -1,
                        .watch_fd = -1,
                        .since_ns = clock_mono_ns(),
                        .has_spawner = true,
                        .spawner = { i, a->client[i].generation, req->request_id } };
    int rc = spawn_start(a, s, &step);
    if (!s->exited)
        serve_watch_slot(a, s); /* also of a start that failed: its end is to be seen */
    if (rc < 0)
        fail_start(a, s, step, -rc);
}

/* A sender can end sandboxes, which is its job; the id is looked up, never used as a name
 * before. */
static void on_kill(struct app *a, uint32_t i, const struct warden_msg *req)
{
    struct slot *s = sandbox_id_ok(&req->id) ? table_find(a, &req->id) : NULL;

    if (!s) {
        reply_status(a, i, req, -ENOENT);
        return;
    }
    if (s->n_killers == MAX_KILL_WAITERS) {
        reply_status(a, i, req, -EBUSY);
        return;
    }
    s->killer[s->n_killers++] = (struct waiter){ i, a->client[i].generation, req->request_id };
    if (s->state == SLOT_STARTING)
        s->failed_errno = ECANCELED;
    slot_kill(a, s, CAUSE_KILLED);
}

/* The descriptor speaks to a monitor, whose protocol can reach one sandbox only. */
static void on_open(struct app *a, uint32_t i, const struct warden_msg *req)
{
    struct slot *s = sandbox_id_ok(&req->id) ? table_find(a, &req->id) : NULL;
    struct ucred who;

    if (!s || s->state != SLOT_RUNNING) {
        reply_status(a, i, req, -ENOENT);
        return;
    }
    AUTO_CLOSE int fd = monitor_connect(a, s, &who);
    struct warden_msg m = describe(a, s, WARDEN_OPEN);
    m.request_id = req->request_id;
    m.status = fd < 0 ? fd : 0;
    send_to(a, i, &m, fd);
}

/* Tells what the sender started itself. In parts, since a socket holds some 270 messages. */
static void on_list(struct app *a, uint32_t i, const struct warden_msg *req)
{
    struct warden_msg end = *req;
    uint32_t k = req->n_sandboxes;

    end.n_sandboxes = 0;
    for (; k < a->n_slots && end.n_sandboxes < WARDEN_LIST_ROWS && a->client[i].fd >= 0; k++) {
        if (a->slot[k].state != SLOT_RUNNING)
            continue;
        struct warden_msg row = describe(a, &a->slot[k], WARDEN_ROW);
        row.request_id = req->request_id;
        send_to(a, i, &row, -1);
        end.n_sandboxes++;
    }
    end.max_sandboxes = k < a->n_slots ? k : 0;
    if (a->client[i].fd >= 0)
        send_to(a, i, &end, -1);
}

/* Its structs may have other sizes: nothing of it is read but the version. */
static bool is_of_another_version(struct app *a, uint32_t i)
{
    uint32_t theirs = ipc_peek_version(a->client[i].fd);

    if (theirs == 0 || theirs == WARDEN_VERSION)
        return false;
    const struct warden_msg ours = { .type = WARDEN_HELLO,
                                     .version = WARDEN_VERSION,
                                     .status = -EPROTONOSUPPORT };
    log_warn("client_refused", "client=%u why=version theirs=%u ours=%u", i, theirs,
             WARDEN_VERSION);
    ipc_discard(a->client[i].fd);
    send_to(a, i, &ours, -1);
    drop_client(a, i, "version");
    return true;
}

static void on_client(struct app *a, uint32_t i)
{
    struct warden_msg m;

    if (is_of_another_version(a, i))
        return;
    int rc = ipc_recv(a->client[i].fd, &m, sizeof m, NULL, 0, NULL);

    if (rc == -EAGAIN)
        return;
    if (rc < 0) {
        drop_client(a, i,
                    rc == -ECONNRESET ? "closed"
                    : rc == -EPROTO   ? "malformed_message"
                                      : "cannot_receive");
        return;
    }
    if (m.version != WARDEN_VERSION || (!a->client[i].greeted && m.type != WARDEN_HELLO)) {
        drop_client(a, i, "no_hello");
        return;
    }
    switch ((enum warden_type)m.type) {
    case WARDEN_HELLO:
        on_hello(a, i, &m);
        return;
    case WARDEN_SPAWN:
        on_spawn(a, i, &m);
        return;
    case WARDEN_KILL:
        on_kill(a, i, &m);
        return;
    case WARDEN_OPEN:
        on_open(a, i, &m);
        return;
    case WARDEN_LIST:
        on_list(a, i, &m);
        return;
    case WARDEN_ROW:
    case WARDEN_EXITED:
    default:
        drop_client(a, i, "unknown_request");
        return;
    }
}

static void on_listen(struct app *a)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    AUTO_CLOSE int fd = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) < 0)
        return; /* it went again */
    if (peer.uid != a->opt.api_uid) {
        log_warn("client_refused", "uid=%u pid=%d", peer.uid, (int)peer.pid);
        return;
    }
    for (uint32_t i = 0; i < MAX_CLIENTS; i++) {
        if (a->client[i].fd >= 0)
            continue;
        if (watch(a, fd, tag(KIND_CLIENT, i)) < 0)
            return;
        a->client[i].fd = fd_steal(&fd);
        log_info("client_connected", "client=%u pid=%d", i, (int)peer.pid);
        return;
    }
    log_warn("client_refused", "why=too_many");
}

/* --- monitors --- */

static void on_ready(struct app *a, struct slot *s)
{
    struct warden_msg m = describe(a, s, WARDEN_SPAWN);
    struct ucred who;
    AUTO_CLOSE int fd = monitor_connect(a, s, &who);

    if (fd < 0) {
        fail_start(a, s, STEP_MONITOR_EXEC, -fd);
        return;
    }
    s->state = SLOT_RUNNING;
    s->has_spawner = false;
    log_info("sandbox_started", "sandbox=%s pid=%d uid=%u ms=%llu", s->rec.id.text,
             (int)s->monitor_pid, table_uid(a, s),
             (unsigned long long)((clock_mono_ns() - s->since_ns) / NS_PER_MS));
    answer_waiter(a, &s->spawner, &m, fd);
}

static void close_ctl(struct slot *s)
{
    (void)close(s->ctl_fd); /* also leaves the epoll set */
    s->ctl_fd = -1;
}

/* Why a monitor ended: of one of ours the ctl socket has told, of an adopted one its watch does. Who says nothing did not end
 * in order. */
static enum sandbox_cause last_words(const struct slot *s)
{
    struct monitor_msg m;

    if (s->watch_fd >= 0 && ipc_recv(s->watch_fd, &m, sizeof m, NULL, 0, NULL) == 0 &&
        m.type == MONITOR_WATCH && m.port < CAUSE_MAX)
        return (enum sandbox_cause)m.port;
    return CAUSE_MONITOR_LOST;
}

/* Its sockets close before its pidfd can be read: in between it waits for the end of everything
 * in its pid namespace, which on cgroup v1 does not come while that is frozen. So the sandbox is
 * thawed and killed now. */
static void on_monitor_silent(struct app *a, struct slot *s)
{
    struct monitor_msg m;

    /* One of another version will not be watched, and lives. Its pidfd tells its end. */
    if (recv(s->watch_fd, &m, sizeof m, MSG_PEEK | MSG_DONTWAIT) == (ssize_t)sizeof m &&
        m.version != MONITOR_VERSION) {
        log_warn("monitor_unwatched", "sandbox=%s theirs=%u ours=%u", s->rec.id.text, m.version,
                 MONITOR_VERSION);
        (void)close(s->watch_fd);
        s->watch_fd = -1;
        return;
    }
    if (s->state == SLOT_RUNNING)
        slot_kill(a, s, last_words(s));
}

/* init exists, with what it is born with: the monitor leaves it to its sandbox. */
static void on_forked(struct app *a, struct slot *s)
{
    struct err e = { 0 };
    int rc = spawn_set_oom_score(s, a->oom_score);

    if (rc == 0 && cgroup_move_monitor(&a->cgroup, s->rec.id.text, s->monitor_pid, &e) < 0)
        rc = -e.code;
    if (rc < 0)
        fail_start(a, s, STEP_CGROUP, -rc);
}

/* One report of a monitor. False if there is none at the moment. */
static bool on_ctl(struct app *a, struct slot *s)
{
    struct jailmon_report r;
    int rc = ipc_recv(s->ctl_fd, &r, sizeof r, NULL, 0, NULL);

    if (rc == -EAGAIN)
        return false;
    if (rc < 0) { /* end of file; its pidfd tells the rest */
        close_ctl(s);
        on_monitor_silent(a, s);
        return false;
    }
    if (r.event == JAILMON_FORKED && s->state == SLOT_STARTING) {
        on_forked(a, s);
    } else if (r.event == JAILMON_READY && s->state == SLOT_STARTING) {
        on_ready(a, s);
    } else if (r.event == JAILMON_FAILED && s->state == SLOT_STARTING) {
        fail_start(a, s,
                   r.step > STEP_ADMIT && r.step < STEP_MAX
                       ? (enum sandbox_step)r.step
                       : STEP_MONITOR_EXEC /* before it had a name */,
                   r.error > 0 ? r.error : EPROTO);
    } else if (r.event == JAILMON_ENDING) {
        s->tripwires = r.tripwires;
        if (s->cause == CAUSE_UNKNOWN && r.cause < CAUSE_MAX)
            s->cause = (enum sandbox_cause)r.cause;
    }
    return true;
}

/* Orphans of a monitor that was killed become our children (we are their subreaper). */
static void reap_orphans(struct app *a)
{
    for (;;) {
        siginfo_t info = { 0 };
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid == 0)
            return;
        for (uint32_t i = 0; i < a->n_slots; i++)
            if (a->slot[i].state != SLOT_FREE && a->slot[i].monitor_pid == info.si_pid &&
                !a->slot[i].exited)
                return; /* its pidfd's event collects it, and then calls us */
        (void)waitid(P_PID, (id_t)info.si_pid, &info, WEXITED | WNOHANG);
    }
}

static void on_monitor_exit(struct app *a, struct slot *s)
{
    siginfo_t info = { 0 };

    /* The pidfd would be readable for ever from now on. */
    (void)epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, s->monitor_pidfd, NULL);
    (void)waitid(P_PIDFD, (id_t)s->monitor_pidfd, &info, WEXITED | WNOHANG); /* if it is ours */
    while (s->ctl_fd >= 0 && on_ctl(a, s)) {
        /* its last words, if they are still unread */
    }
    s->exited = true;
    if (s->state == SLOT_STARTING)
        fail_start(a, s, STEP_MONITOR_EXEC, ECHILD);
    slot_kill(a, s, last_words(s));
    reap_orphans(a);
}

static void on_signal(struct app *a)
{
    struct signalfd_siginfo si;

    if (read(a->signal_fd, &si, sizeof si) != (ssize_t)sizeof si)
        return;
    if (si.ssi_signo == SIGCHLD)
        reap_orphans(a);
    else
        a->stopping = true;
}

/* --- the loop --- */

static void on_event(struct app *a, uint64_t t)
{
    uint32_t i = (uint32_t)t;
    struct slot *s = i < WARDEN_MAX_SANDBOXES ? &a->slot[i] : NULL;

    switch ((enum kind)(t >> 32)) {
    case KIND_LISTEN:
        on_listen(a);
        return;
    case KIND_SIGNAL:
        on_signal(a);
        return;
    case KIND_CLIENT:
        if (i < MAX_CLIENTS && a->client[i].fd >= 0)
            on_client(a, i);
        return;
    case KIND_CTL: /* an event of this round may be about a slot that has just been freed */
        if (s && s->state != SLOT_FREE && s->ctl_fd >= 0)
            (void)on_ctl(a, s); /* more of them come with the next event */
        return;
    case KIND_WATCH:
        if (s && s->state != SLOT_FREE && s->watch_fd >= 0) {
            (void)epoll_ctl(a->epoll_fd, EPOLL_CTL_DEL, s->watch_fd,
                            NULL); /* it says one thing */
            on_monitor_silent(a, s);
        }
        return;
    case KIND_PIDFD:
        if (s && s->state != SLOT_FREE && !s->exited)
            on_monitor_exit(a, s);
        return;
    }
}

/* One that could not be watched ends without an event. */
static bool has_ended_unseen(const struct slot *s)
{
    struct pollfd p = { s->monitor_pidfd, POLLIN, 0 };
    return s->state == SLOT_DYING && !s->exited && poll(&p, 1, 0) == 1;
}

static int sooner(int a, int b)
{
    return a < 0 || b < a ? b : a;
}

/* Reaps what dies, ends what does not come up. Returns how long to sleep: -1 for ever. */
static int tend(struct app *a)
{
    uint64_t now = clock_mono_ns();
    int wait_ms = -1;

    for (uint32_t i = 0; i < a->n_slots; i++) {
        struct slot *s = &a->slot[i];
        if (s->state == SLOT_STARTING) {
            if (now - s->since_ns > START_LIMIT_NS)
                fail_start(a, s, STEP_TIMEOUT, ETIMEDOUT);
            wait_ms = sooner(wait_ms, STUCK_RETRY_MS);
        }
        if (has_ended_unseen(s))
            on_monitor_exit(a, s);
        if (s->state == SLOT_DYING && !slot_reap(a, s)) {
            wait_ms =
                sooner(wait_ms, now - s->since_ns > STUCK_NS ? STUCK_RETRY_MS : DYING_RETRY_MS);
        }
    }
    table_shrink(a);
    return wait_ms;
}

static bool all_gone(const struct app *a)
{
    return table_count(a) == 0;
}

void serve_run(struct app *a)
{
    for (;;) {
        struct epoll_event ev[32];
        int wait_ms = tend(a);
        if (a->opt.stop_all ? all_gone(a) : a->stopping)
            return;
        int n = epoll_wait(a->epoll_fd, ev, ARRAY_LEN(ev), wait_ms);
        for (int i = 0; i < n; i++)
            on_event(a, ev[i].data.u64);
    }
}

static int open_signals(struct app *a, struct err *e)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_set(e, errno, "block signals");
    a->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return a->signal_fd < 0 ? err_set(e, errno, "open a signalfd") : 0;
}

static int open_listener(struct app *a, struct err *e)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    AUTO_CLOSE int run = open(a->opt.run_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (run < 0 || fd < 0)
        return err_set(e, errno, "open '%s'", a->opt.run_dir);
    (void)snprintf(un.sun_path, sizeof un.sun_path, "/proc/self/fd/%d/warden.sock", run);
    (void)unlinkat(run, "warden.sock",
                   0); /* we hold the instance's lock: it is a dead warden's */
    mode_t old = umask(0177);
    int rc = bind(fd, (const struct sockaddr *)&un, sizeof un) < 0 ? -errno : 0;
    (void)umask(old);
    if (rc < 0)
        return err_set(e, -rc, "bind '%s/warden.sock'", a->opt.run_dir);
    if (fchownat(run, "warden.sock", a->opt.api_uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "give '%s/warden.sock' to uid %u", a->opt.run_dir,
                       a->opt.api_uid);
    if (listen(fd, 8) < 0)
        return err_set(e, errno, "listen on '%s/warden.sock'", a->opt.run_dir);
    a->listen_fd = fd_steal(&fd);
    return 0;
}

int serve_prepare(struct app *a, struct err *e)
{
    a->listen_fd = -1;
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        a->client[i].fd = -1;
    for (size_t i = 0; i < WARDEN_MAX_SANDBOXES; i++)
        a->slot[i] = (struct slot){ .monitor_pidfd = -1, .ctl_fd = -1, .watch_fd = -1 };
    a->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (a->epoll_fd < 0)
        return err_set(e, errno, "make an epoll instance");
    if (open_signals(a, e) < 0)
        return -e->code;
    if (watch(a, a->signal_fd, tag(KIND_SIGNAL, 0)) < 0)
        return err_set(e, errno, "watch signals");
    if (a->opt.stop_all)
        return 0;
    if (open_listener(a, e) < 0)
        return -e->code;
    return watch(a, a->listen_fd, tag(KIND_LISTEN, 0)) < 0
               ? err_set(e, errno, "watch the listening socket")
               : 0;
}
