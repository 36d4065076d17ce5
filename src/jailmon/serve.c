/* SPDX-License-Identifier: Apache-2.0 */
#include "jailmon/serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "ipc/ipc.h"
#include "ipc/monitor_proto.h"
#include "jailmon/tripwire.h"
#include "sys/cgroup.h"

#define MAX_CLIENTS     8 /* the API and a few that replace it; the oldest goes */
#define FREEZE_TRIES    1000
#define EARLY_RESULT_MS 5
#define FREEZE_NAP_NS   1000000 /* 1 ms */

enum tag { TAG_LISTEN = 100, TAG_TIMER, TAG_INIT, TAG_TRIPWIRE, TAG_CLIENT /* + index */ };

struct server {
    const struct sandbox *sandbox;
    int epoll_fd, timer_fd;
    int client[MAX_CLIENTS];
    struct monitor_msg watch; /* what client[watcher] asked */
    size_t watcher;           /* MAX_CLIENTS: nobody */
    unsigned next_victim;
    uint64_t deadline_ns;
    bool frozen;
    bool ended;
    enum sandbox_cause cause;
    struct tripwire tripwire;
};

static void end(struct server *v, enum sandbox_cause cause)
{
    if (!v->ended)
        v->cause = cause;
    v->ended = true;
}

static int watch(int epoll_fd, int fd, uint32_t tag)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.u32 = tag };
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

int serve_prepare(int *epoll_fd, int *timer_fd)
{
    *epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (*epoll_fd < 0)
        return -errno;
    *timer_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return *timer_fd < 0 ? -errno : 0;
}

static int arm(struct server *v, uint64_t deadline_ns)
{
    uint64_t ns =
        deadline_ns > 0 ? deadline_ns : 1; /* 0 would disarm; the past fires at once */
    struct itimerspec t = { .it_value = { (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) } };

    if (timerfd_settime(v->timer_fd, TFD_TIMER_ABSTIME, &t, NULL) < 0)
        return -errno;
    v->deadline_ns = deadline_ns;
    return 0;
}

/* --- control files of the cgroup --- */

static int cgroup_fd(enum cgroup_file f)
{
    return JAILMON_FD_CGROUP + (int)f;
}

static struct str read_file(enum cgroup_file f, char *text, size_t cap)
{
    ssize_t n = pread(cgroup_fd(f), text, cap, 0);
    return (struct str){ text, n > 0 ? (size_t)n : 0 };
}

static uint64_t read_number(enum cgroup_file f, const char *key)
{
    char text[4096];
    return cgroup_number(read_file(f, text, sizeof text), key);
}

static bool is_frozen(const struct server *v)
{
    char text[256];

    if (!v->sandbox->start.freezer_v1)
        return read_number(CGROUP_FILE_EVENTS, "frozen") == 1;
    return str_starts(read_file(CGROUP_FILE_EVENTS, text, sizeof text), STR("FROZEN"));
}

static int set_frozen(struct server *v, bool frozen)
{
    const char *word =
        v->sandbox->start.freezer_v1 ? (frozen ? "FROZEN" : "THAWED") : (frozen ? "1" : "0");
    for (int i = 0; i < FREEZE_TRIES; i++) {
        /* v1 may stop half-way and wants to be told again; v2 does not mind. */
        if (pwrite(cgroup_fd(CGROUP_FILE_FREEZE), word, strlen(word), 0) < 0)
            return -errno;
        if (is_frozen(v) == frozen) {
            v->frozen = frozen;
            return 0;
        }
        struct timespec nap = { .tv_nsec = FREEZE_NAP_NS };
        (void)nanosleep(&nap, NULL); /* shorter if a signal comes */
    }
    return -ETIMEDOUT;
}

static void fill_stats(const struct server *v, struct monitor_stats *s)
{
    struct statfs fs;

    s->memory_bytes = read_number(CGROUP_FILE_MEMORY, "");
    s->memory_peak_bytes = read_number(CGROUP_FILE_PEAK, "");
    s->memory_limit_bytes = v->sandbox->start.limits.memory_bytes;
    s->cpu_usec = read_number(CGROUP_FILE_CPU, "usage_usec");
    if (s->cpu_usec == 0)
        s->cpu_usec = read_number(CGROUP_FILE_CPU, "") / 1000; /* cpuacct.usage is in ns */
    s->pids = read_number(CGROUP_FILE_PIDS, "");
    s->oom_kills = read_number(CGROUP_FILE_OOM, "oom_kill");
    s->disk_limit_bytes = v->sandbox->start.limits.disk_bytes;
    if (fstatfs(v->sandbox->layer_fd, &fs) == 0)
        s->disk_used_bytes = (uint64_t)(fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize;
    s->deadline_ns = v->deadline_ns;
    s->frozen = v->frozen;
    s->agent_pid = (uint32_t)v->sandbox->init_pid;
    s->tripwires = v->tripwire.count;
    s->tripwire_alarms = v->tripwire.alarms;
    s->landlock_abi = (uint32_t)v->sandbox->landlock_abi;
    s->profile = v->sandbox->start.policy.profile;
}

/* --- connections into the sandbox --- */

/* On the loopback the answer to a SYN is there when connect returns, and only its result is still to be
 * collected. A full queue gives none for a while: then the socket goes out as it is, and who gets it waits. */
static int early_result(int s)
{
    struct pollfd p = { s, POLLOUT, 0 };
    int error = 0;
    socklen_t n = sizeof error;

    if (poll(&p, 1, EARLY_RESULT_MS) != 1)
        return 0;
    return getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &n) < 0 ? -errno : -error;
}

static int connect_to(const struct sockaddr *a, socklen_t n, int family)
{
    AUTO_CLOSE int s = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;

    if (s < 0)
        return -errno;
    (void)setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* latency only */
    if (connect(s, a, n) == 0)
        return fd_steal(&s);
    if (errno != EINPROGRESS)
        return -errno;
    int rc = early_result(s);
    return rc < 0 ? rc : fd_steal(&s);
}

/* Programs listen on 127.0.0.1, on 0.0.0.0 or on ::1 alone. */
static int connect_port(uint32_t port)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)port),
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT };

    if (port == 0 || port > UINT16_MAX)
        return -EINVAL;
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = connect_to((const struct sockaddr *)&v4, sizeof v4, AF_INET);
    if (fd != -ECONNREFUSED)
        return fd;
    fd = connect_to((const struct sockaddr *)&v6, sizeof v6, AF_INET6);
    return fd >= 0 ? fd : -ECONNREFUSED; /* a host without IPv6 says something else */
}

/* --- the protocol --- */

static int answer(struct server *v, struct monitor_msg *m)
{
    switch ((enum monitor_type)m->type) {
    case MONITOR_CONNECT:
        return connect_port(m->port);
    case MONITOR_FREEZE:
        return set_frozen(v, true);
    case MONITOR_THAW:
        return set_frozen(v, false);
    case MONITOR_STATS:
        fill_stats(v, &m->stats);
        return 0;
    case MONITOR_SET_DEADLINE:
        return arm(v, m->deadline_ns);
    case MONITOR_KILL:
        end(v, CAUSE_KILLED);
        return 0;
    case MONITOR_NETNS:
        return fcntl(v->sandbox->route_fd, F_DUPFD_CLOEXEC, 0);
    case MONITOR_WATCH: /* on_client */
    default:
        return -EPROTO;
    }
}

static void drop_client(struct server *v, size_t i)
{
    (void)close(v->client[i]); /* also leaves the epoll set */
    v->client[i] = -1;
    if (v->watcher == i)
        v->watcher = MAX_CLIENTS;
}

/* Its structs may have other sizes: nothing of it is read but the version. */
static bool is_of_another_version(struct server *v, size_t i)
{
    uint32_t theirs = ipc_peek_version(v->client[i]);

    if (theirs == 0 || theirs == MONITOR_VERSION)
        return false;
    const struct monitor_msg ours = { .version = MONITOR_VERSION, .status = -EPROTONOSUPPORT };
    log_warn("client_refused", "sandbox=%s why=version theirs=%u ours=%u",
             v->sandbox->start.id.text, theirs, MONITOR_VERSION);
    ipc_discard(v->client[i]);
    (void)ipc_send(v->client[i], &ours, sizeof ours, NULL, 0); /* or it does not read */
    drop_client(v, i);
    return true;
}

static void on_client(struct server *v, size_t i)
{
    struct monitor_msg m;

    if (is_of_another_version(v, i))
        return;
    int rc = ipc_recv(v->client[i], &m, sizeof m, NULL, 0, NULL);

    if (rc == -EAGAIN)
        return;
    if (rc < 0 || m.version != MONITOR_VERSION) {
        drop_client(v, i);
        return;
    }
    if (m.type == MONITOR_WATCH) {
        v->watcher = i;
        v->watch = m;
        return;
    }
    AUTO_CLOSE int fd = -1;
    rc = answer(v, &m);
    if (rc == -EPROTO) {
        drop_client(v, i);
        return;
    }
    if (rc >= 0 && (m.type == MONITOR_CONNECT || m.type == MONITOR_NETNS)) {
        fd = rc;
        rc = 0;
    }
    m.status = rc;
    if (ipc_send(v->client[i], &m, sizeof m, &fd, fd >= 0 ? 1 : 0) < 0)
        drop_client(v, i); /* it does not read its answers: not our problem twice */
}

static void on_listen(struct server *v)
{
    int fd = accept4(JAILMON_FD_LISTEN, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    size_t i = 0;

    if (fd < 0)
        return; /* it went again */
    while (i < MAX_CLIENTS && v->client[i] >= 0)
        i++;
    if (i == MAX_CLIENTS) { /* an API that died leaves end of file behind; one that did not is
                               replaced */
        i = v->next_victim++ % MAX_CLIENTS;
        if (i == v->watcher) /* the warden, which has one connection only */
            i = v->next_victim++ % MAX_CLIENTS;
        drop_client(v, i);
    }
    v->client[i] = fd;
    if (watch(v->epoll_fd, fd, TAG_CLIENT + (uint32_t)i) < 0)
        drop_client(v, i);
}

static void on_init_exit(struct server *v)
{
    siginfo_t info = { 0 };
    bool killed = waitid(P_PIDFD, (id_t)v->sandbox->init_pidfd, &info, WEXITED) == 0 &&
                  info.si_code == CLD_KILLED;

    end(v,
        killed && read_number(CGROUP_FILE_OOM, "oom_kill") > 0 ? CAUSE_OOM : CAUSE_AGENT_EXIT);
}

/* One visit a loop, in its turn: epoll hands out what is ready in rotation. */
static void on_tripwire(struct server *v)
{
    if (!tripwire_visit(&v->tripwire))
        (void)epoll_ctl(v->epoll_fd, EPOLL_CTL_DEL, v->tripwire.fd, NULL);
}

static void on_event(struct server *v, uint32_t tag)
{
    if (tag == TAG_LISTEN)
        on_listen(v);
    else if (tag == TAG_TIMER)
        end(v, CAUSE_TIMEOUT);
    else if (tag == TAG_INIT)
        on_init_exit(v);
    else if (tag == TAG_TRIPWIRE)
        on_tripwire(v);
    else if (tag >= TAG_CLIENT && tag < TAG_CLIENT + MAX_CLIENTS &&
             v->client[tag - TAG_CLIENT] >= 0)
        on_client(v, tag - TAG_CLIENT);
}

/* What is frozen on v1 cannot die; on v2 one write kills all. Where it cannot be done here, the
 * kernel does it when we exit: we are the init of the pid namespace that all of it is in. */
static void kill_all(struct server *v)
{
    if (v->sandbox->start.freezer_v1) {
        if (v->frozen)
            (void)set_frozen(v, false);
        return; /* the kernel's way then */
    }
    if (pwrite(cgroup_fd(CGROUP_FILE_KILL), "1", 1, 0) != 1)
        return;
    struct pollfd gone = { v->sandbox->init_pidfd, POLLIN, 0 };
    (void)poll(&gone, 1, 1000); /* so that init is reaped by its parent, us */
    siginfo_t info;
    (void)waitid(P_PIDFD, (id_t)v->sandbox->init_pidfd, &info, WEXITED | WNOHANG);
}

enum sandbox_cause serve(const struct sandbox *s, int epoll_fd, int timer_fd,
                         uint64_t *tripwires)
{
    struct server v = {
        .sandbox = s, .epoll_fd = epoll_fd, .timer_fd = timer_fd, .watcher = MAX_CLIENTS
    };

    tripwire_init(&v.tripwire, s->listener_fd, s->start.id.text);
    for (size_t i = 0; i < MAX_CLIENTS; i++)
        v.client[i] = -1;
    if (watch(epoll_fd, JAILMON_FD_LISTEN, TAG_LISTEN) < 0 ||
        watch(epoll_fd, timer_fd, TAG_TIMER) < 0 ||
        watch(epoll_fd, s->init_pidfd, TAG_INIT) < 0 ||
        watch(epoll_fd, s->listener_fd, TAG_TRIPWIRE) < 0 || arm(&v, s->start.deadline_ns) < 0)
        end(&v, CAUSE_START_FAILED);
    while (!v.ended) {
        struct epoll_event ev[8];
        int n = epoll_wait(epoll_fd, ev, ARRAY_LEN(ev), -1);
        for (int i = 0; i < n && !v.ended; i++)
            on_event(&v, ev[i].data.u32);
    }
    kill_all(&v);
    if (v.watcher < MAX_CLIENTS) {
        v.watch.status = 0;
        v.watch.port = v.cause;
        (void)ipc_send(v.client[v.watcher], &v.watch, sizeof v.watch, NULL,
                       0); /* or nobody hears it */
    }
    *tripwires = v.tripwire.count;
    return v.cause;
}
