/* SPDX-License-Identifier: Apache-2.0 */
/* recorder: writes the record. Unprivileged; reads nothing but fixed structs and, at its start, its own files. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "recorder/recorder.h"
#include "sys/filter.h"
#include "sys/landlock.h"
#include "sys/task.h"

#define EVENTS_A_TURN 64

static const char usage[] =
    "usage: recorder --state DIR --run DIR [OPTIONS]\n"
    "\n"
    "Writes the record of what happened. 'firebreak up' starts it; see recorder(8).\n"
    "  --state DIR        DIR/audit is kept\n"
    "  --run DIR          DIR/recorder.sock is listened on\n"
    "  --uid UID          user to become (default 65530)\n"
    "  --api-uid UID      who may add events of the API (default 65532)\n"
    "  --shipper-uid UID  who may tell how far copies have got (default 65529)\n"
    "  --peer-fd FD       a connected socket of netd\n"
    "  --head-every S     seconds between signed heads, while there is something new (default "
    "300)\n"
    "  --version, --help\n";

static int take_u32(const char *value, uint64_t min, uint64_t max, uint64_t *out)
{
    return num_parse_u64(str_from(value), min, max, out);
}

static int take_option(struct options *o, const char *name, const char *value)
{
    uint64_t v = 0;
    int rc = 0;

    if (strcmp(name, "--state") == 0)
        o->state_dir = value;
    else if (strcmp(name, "--run") == 0)
        o->run_dir = value;
    else if (strcmp(name, "--head-every") == 0)
        rc = take_u32(value, 1, 3600, &o->head_s);
    else if (strcmp(name, "--peer-fd") == 0 && (rc = take_u32(value, 3, 1023, &v)) == 0)
        o->peer_fd = (int)v;
    else if (strcmp(name, "--uid") == 0 && (rc = take_u32(value, 1, UINT32_MAX - 1, &v)) == 0)
        o->uid = (uid_t)v;
    else if (strcmp(name, "--api-uid") == 0 &&
             (rc = take_u32(value, 1, UINT32_MAX - 1, &v)) == 0)
        o->api_uid = (uid_t)v;
    else if (strcmp(name, "--shipper-uid") == 0 &&
             (rc = take_u32(value, 1, UINT32_MAX - 1, &v)) == 0)
        o->shipper_uid = (uid_t)v;
    else if (v == 0)
        rc = rc < 0 ? rc : -ENOENT;
    return rc;
}

static int parse_options(struct options *o, int argc, char **argv, struct err *e)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 >= argc)
            return err_say(e, EINVAL, "%s needs a value", argv[i]);
        int rc = take_option(o, argv[i], argv[i + 1]);
        if (rc == -ENOENT)
            return err_say(e, EINVAL, "unknown option '%.64s'; --help lists them", argv[i]);
        if (rc < 0)
            return err_say(e, EINVAL, "%s cannot be '%.64s'", argv[i], argv[i + 1]);
    }
    if (!o->state_dir || !o->run_dir)
        return err_say(e, EINVAL, "%s is missing", o->state_dir ? "--run" : "--state");
    return 0;
}

/* --- start --- */

/* STATE/audit, for the user that we are about to become; its group reads. */
static int open_dir(const struct options *o, struct err *e)
{
    ASSERT(o->state_dir); /* parse_options */
    AUTO_CLOSE int state = open(o->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bool made = state >= 0 && mkdirat(state, "audit", 0750) == 0;
    int fd = state < 0
                 ? -1
                 : openat(state, "audit", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return err_set(e, errno, "open '%s/audit'", o->state_dir);
    if (made && geteuid() == 0 && fchown(fd, o->uid, o->uid) < 0) {
        (void)err_set(e, errno, "give '%s/audit' to uid %u", o->state_dir, o->uid);
        (void)close(fd);
        return -e->code;
    }
    return fd;
}

static int restrict_files(int audit_fd, struct err *e)
{
    const struct landlock_grant grant = { audit_fd, LL_FS_READ_FILE | LL_FS_READ_DIR |
                                                        LL_FS_WRITE_FILE | LL_FS_TRUNCATE |
                                                        LL_FS_MAKE_REG | LL_FS_MAKE_DIR |
                                                        LL_FS_REMOVE_FILE };
    const struct landlock_rules rules = { .fs = LL_FS_ALL,
                                          .net = LL_NET_BIND_TCP | LL_NET_CONNECT,
                                          .scope = LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL,
                                          .grant = &grant,
                                          .n_grants = 1 };
    int abi = landlock_restrict(&rules, e);
    AUTO_CLOSE int proof = abi > 0 ? open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

    if (proof >= 0)
        return err_say(e, EPERM, "Landlock does not hold");
    return abi < 0 ? -e->code : 0;
}

static int harden(const struct options *o, int audit_fd, struct err *e)
{
    struct filter filter;
    int death_signal = 0;

    if (prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) < 0)
        return err_set(e, errno, "read the parent's death signal");
    if (geteuid() == 0 &&
        (task_limit_bounding(0, e) < 0 || task_set_ids(o->uid, o->uid, e) < 0))
        return -e->code;
    if (setresuid(0, 0, 0) == 0)
        return err_say(e, EPERM, "root can be had back");
    /* A change of ids clears it, and then we would outlive our supervisor. */
    if ((death_signal && prctl(PR_SET_PDEATHSIG, (unsigned long)death_signal, 0, 0, 0) < 0) ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_set(e, errno, "set the process up");
    if (task_set_caps(0, e) < 0 || task_limit(RLIMIT_CORE, TASK_NO_CORE, e) < 0 ||
        task_no_new_privs(e) < 0 || restrict_files(audit_fd, e) < 0)
        return -e->code;
    filter_build(&filter, FILTER_RECORDER);
    return filter_load(&filter, e);
}

static int watch(struct recorder *r, int *fd)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = fd };
    return epoll_ctl(r->epoll_fd, EPOLL_CTL_ADD, *fd, &ev);
}

static int open_loop(struct recorder *r, struct err *e)
{
    const struct itimerspec each_second = { { 1, 0 }, { 1, 0 } };
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_set(e, errno, "set up signals");
    r->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    r->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    r->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        r->client[i].fd = -1;
    if (r->signal_fd < 0 || r->tick_fd < 0 || r->epoll_fd < 0 ||
        timerfd_settime(r->tick_fd, 0, &each_second, NULL) < 0 || watch(r, &r->signal_fd) < 0 ||
        watch(r, &r->tick_fd) < 0 || serve_open(r, e) < 0 || watch(r, &r->listen_fd) < 0)
        return e->code ? -e->code : err_set(e, errno, "open signals and timer");
    return 0;
}

static int start(struct recorder *r, struct err *e)
{
    AUTO_CLOSE int audit_fd = open_dir(&r->opt, e);

    if (audit_fd < 0 || open_loop(r, e) < 0 || harden(&r->opt, audit_fd, e) < 0)
        return -e->code;
    (void)umask(0027);
    if (trail_open(&r->trail, fd_steal(&audit_fd), clock_real_ns(), e) < 0)
        return -e->code;
    trail_tick(&r->trail, clock_real_ns(), r->opt.head_s * NS_PER_S);
    r->told_ready = r->trail.ready;
    return 0;
}

/* --- the loop --- */

static void on_event(struct recorder *r, const struct epoll_event *ev)
{
    uint64_t expirations;

    if (ev->data.ptr == &r->signal_fd) {
        r->stop = true;
    } else if (ev->data.ptr == &r->tick_fd) {
        (void)!read(r->tick_fd, &expirations, sizeof expirations);
        serve_commit(r);
        trail_tick(&r->trail, clock_real_ns(), r->opt.head_s * NS_PER_S);
        serve_tell(r);
    } else if (ev->data.ptr == &r->listen_fd) {
        serve_accept(r);
    } else {
        struct client *c = ev->data.ptr;
        if (c->fd >= 0)
            serve_client(r, c);
    }
}

/* All that is there is one batch. What comes while it is synced is the next. */
static void loop(struct recorder *r)
{
    struct epoll_event ev[EVENTS_A_TURN];

    while (!r->stop) {
        int n = epoll_wait(r->epoll_fd, ev, EVENTS_A_TURN, -1);
        for (int i = 0; i < n; i++)
            on_event(r, &ev[i]);
        serve_commit(r);
    }
    /* Services end before us; what they have still said is taken. */
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (r->client[i].fd >= 0)
            serve_client(r, &r->client[i]);
    serve_commit(r);
}

int main(int argc, char **argv)
{
    static struct recorder r; /* too large for the stack; passed down, never global */
    struct err e = { 0 };

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("recorder " FIREBREAK_VERSION) < 0;
    log_init("recorder", LOG_LEVEL_INFO);
    r.opt = (struct options){
        .uid = 65530, .api_uid = 65532, .shipper_uid = 65529, .peer_fd = -1, .head_s = 300
    };
    if (parse_options(&r.opt, argc, argv, &e) < 0) {
        (void)fprintf(stderr, "recorder: %s\n\n%s", e.text, usage);
        return 2;
    }
    if (start(&r, &e) < 0) {
        (void)fprintf(stderr, "recorder: %s\n", e.text);
        return 1;
    }
    log_info("recorder_ready", "ready=%d", r.trail.ready);
    loop(&r);
    trail_close(&r.trail, clock_real_ns());
    log_info("recorder_stopped", "records=%llu", (unsigned long long)r.trail.records);
    return 0;
}
