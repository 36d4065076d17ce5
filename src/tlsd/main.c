/* SPDX-License-Identifier: Apache-2.0 */
/* tlsd: ends TLS for connections of sandboxes whose requests get headers, and begins it again with
 * the real server. It reads hostile bytes with OpenSSL from both sides: so it is a process of its
 * own, without any capability, with a user of its own, an empty root and a filter that knows of no
 * socket, file or program. What it has is what netd sends: two connected sockets, one host, and the
 * headers for it. Assume that it can be taken over: then it has the seed of all authorities, and the
 * headers of connections that are open, and no way to anywhere but their two ends. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
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
#include <sys/un.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "base/rand.h"
#include "ipc/ipc.h"
#include "sys/filter.h"
#include "sys/mnt.h"
#include "sys/task.h"
#include "tlsd/tlsd.h"

#define FILES_WANTED 2048u

static const char usage[] =
    "usage: tlsd --run DIR [OPTIONS]\n"
    "\n"
    "Ends and begins TLS for requests of sandboxes on which headers are set. 'firebreak up' "
    "starts it; see tlsd(8).\n"
    "  --run DIR          DIR/tlsd.sock is netd's, DIR/tlsd.seed has what keys follow from\n"
    "  --uid UID          user to become (default 65528)\n"
    "  --bundle FILE      authorities that servers are checked by (default "
    "/etc/ssl/certs/ca-certificates.crt)\n"
    "  --ca FILE          further ones\n"
    "  --ready-fd N       a byte is written there once it serves\n"
    "  --version, --help\n";

struct options {
    const char *run_dir, *bundle, *ca;
    uint64_t uid, ready_fd;
};

/* --- the loop --- */

static int control(struct tlsd *t, int op, struct watch *w, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.ptr = w };
    return epoll_ctl(t->epoll_fd, op, w->fd, &ev) < 0 ? -errno : 0;
}

int watch_add(struct tlsd *t, struct watch *w, uint32_t events)
{
    return control(t, EPOLL_CTL_ADD, w, events);
}

int watch_change(struct tlsd *t, struct watch *w, uint32_t events)
{
    return control(t, EPOLL_CTL_MOD, w, events);
}

void watch_close(struct tlsd *t, struct watch *w)
{
    if (w->fd < 0)
        return;
    (void)control(t, EPOLL_CTL_DEL, w, 0); /* netd may still have it open */
    (void)close(w->fd);
    w->fd = -1;
}

void tell(struct tlsd *t, const struct tlsd_notice *n)
{
    int rc = ipc_send(t->netd.fd, n, sizeof *n, NULL, 0);

    /* A full socket is netd being slow to count: a notice less. */
    if (rc < 0 && rc != -EAGAIN)
        t->stop = true;
}

static void loop(struct tlsd *t)
{
    while (!t->stop) {
        struct epoll_event ev;
        if (epoll_wait(t->epoll_fd, &ev, 1, -1) != 1)
            continue;
        struct watch *w = ev.data.ptr;
        w->ready(t, w, ev.events);
    }
}

/* --- netd --- */

static bool headers_ok(const struct tlsd_request *m)
{
    size_t at = 0;

    if (m->n_headers < 1 || m->n_headers > TRANSFORM_HEADERS_MAX)
        return false;
    for (uint32_t i = 0; i < m->n_headers; i++) {
        const struct tlsd_header *h = &m->header[i];
        size_t n = (size_t)h->name_n + h->value_n;
        if (n > sizeof m->text - at ||
            !http1_set_name_ok((struct str){ m->text + at, h->name_n }) ||
            !http1_set_value_ok((struct str){ m->text + at + h->name_n, h->value_n }))
            return false;
        at += n;
    }
    return true;
}

static bool request_ok(const struct tlsd_request *m, size_t n_fds)
{
    char name[EGRESS_NAME_MAX + 1];

    if (m->version != TLSD_VERSION || n_fds != (m->type == TLSD_SERVE ? 2 : 0))
        return false;
    if (m->type == TLSD_CUT)
        return true;
    if (!sandbox_id_ok(&m->id))
        return false;
    return m->type == TLSD_CA || (m->type == TLSD_SERVE && m->first_n <= TLSD_FIRST_MAX &&
                                  memchr(m->name, 0, sizeof m->name) &&
                                  egress_name_normalise(str_from(m->name), name) == 0 &&
                                  strcmp(name, m->name) == 0 && headers_ok(m));
}

static void send_certificate(struct tlsd *t, const struct tlsd_request *m)
{
    struct tlsd_notice n = {
        .type = TLSD_CERT, .version = TLSD_VERSION, .box = m->box, .id = m->id
    };
    int size = ca_certificate(&t->ca, &m->id, n.cert, &n.hash);

    if (size < 0) {
        log_error("certificate_failed", "sandbox=%s err=%d", m->id.text, -size);
        return;
    }
    n.cert_n = (uint32_t)size;
    tell(t, &n);
}

static void on_netd(struct tlsd *t, struct watch *w, uint32_t events)
{
    int fd[2] = { -1, -1 };
    size_t n_fds = 0;
    int rc = ipc_recv(w->fd, &t->request, sizeof t->request, fd, 2, &n_fds);

    (void)events;
    if (rc == -EAGAIN)
        return;
    if (rc < 0 || !request_ok(&t->request, n_fds)) {
        log_info("netd_gone", "err=%d", rc < 0 ? -rc : EPROTO);
        t->stop = true;
    } else if (t->request.type == TLSD_SERVE) {
        conn_serve(t, &t->request, fd[0], fd[1]);
    } else if (t->request.type == TLSD_CUT) {
        conn_cut(t, t->request.box);
    } else {
        send_certificate(t, &t->request);
    }
    explicit_bzero(&t->request, sizeof t->request);
}

static void on_signal(struct tlsd *t, struct watch *w, uint32_t events)
{
    struct signalfd_siginfo info;

    (void)events;
    if (read(w->fd, &info, sizeof info) == (ssize_t)sizeof info)
        t->stop = true;
}

static void on_tick(struct tlsd *t, struct watch *w, uint32_t events)
{
    uint64_t n;

    (void)events;
    if (read(w->fd, &n, sizeof n) > 0)
        conn_tick(t, clock_mono_ns());
}

/* --- options --- */

static int parse_options(struct options *o, int argc, char **argv, struct err *e)
{
    const struct {
        const char *name;
        const char **text;
        uint64_t *number, min;
    } flags[] = {
        { "--run", &o->run_dir, NULL, 0 },
        { "--bundle", &o->bundle, NULL, 0 },
        { "--ca", &o->ca, NULL, 0 },
        { "--uid", NULL, &o->uid, 1 },
        { "--ready-fd", NULL, &o->ready_fd, 3 },
    };

    for (int i = 1; i < argc; i += 2) {
        size_t k = 0;
        while (k < ARRAY_LEN(flags) && strcmp(flags[k].name, argv[i]) != 0)
            k++;
        if (k == ARRAY_LEN(flags))
            return err_say(e, EINVAL, "unknown option '%.64s'", argv[i]);
        if (i + 1 == argc)
            return err_say(e, EINVAL, "%s needs a value", flags[k].name);
        if (flags[k].text)
            *flags[k].text = argv[i + 1];
        else if (num_parse_u64(str_from(argv[i + 1]), flags[k].min, UINT32_MAX - 1,
                               flags[k].number) < 0)
            return err_say(e, EINVAL, "%s must be a number", flags[k].name);
    }
    return o->run_dir ? 0 : err_say(e, EINVAL, "--run is missing");
}

/* --- start, as root --- */

/* In a directory of root's that does not outlive the machine's sandboxes. */
static int load_seed(struct tlsd *t, const char *run_dir, struct err *e)
{
    char path[512];
    struct stat st;

    if (snprintf(path, sizeof path, "%s/tlsd.seed", run_dir) >= (int)sizeof path)
        return err_say(e, ENAMETOOLONG, "--run is too long");
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(e, errno, "open '%s'", path);
    if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077) != 0)
        return err_say(e, EPERM, "'%s' must be a file of root's that nobody else can open",
                       path);
    if (read(fd, t->ca.seed, SEED_N) == (ssize_t)SEED_N)
        return 0;
    rand_bytes(t->ca.seed, SEED_N);
    return pwrite(fd, t->ca.seed, SEED_N, 0) == (ssize_t)SEED_N
               ? 0
               : err_set(e, errno ? errno : EIO, "write '%s'", path);
}

static int load_trust(struct tlsd *t, const struct options *o, struct err *e)
{
    t->to_servers = SSL_CTX_new(TLS_client_method());
    if (!t->to_servers || SSL_CTX_set_min_proto_version(t->to_servers, TLS1_2_VERSION) != 1)
        return err_set(e, ENOMEM, "set up TLS");
    if (SSL_CTX_load_verify_file(t->to_servers, o->bundle) != 1)
        log_warn("no_authorities", "path=%s: only those of --ca are trusted", o->bundle);
    if (o->ca && SSL_CTX_load_verify_file(t->to_servers, o->ca) != 1)
        return err_say(e, EINVAL, "'%s' has no certificates that can be read", o->ca);
    SSL_CTX_set_verify(t->to_servers, SSL_VERIFY_PEER, NULL);
    (void)SSL_CTX_set_options(t->to_servers, SSL_OP_NO_RENEGOTIATION);
    (void)SSL_CTX_set_session_cache_mode(t->to_servers, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_mode(t->to_servers, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                              SSL_MODE_RELEASE_BUFFERS);
    ERR_clear_error();
    return 0;
}

/* The socket is in a directory of root's: whoever listens is netd. */
static int connect_netd(struct tlsd *t, const char *run_dir, struct err *e)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (snprintf(at.sun_path, sizeof at.sun_path, "%s/tlsd.sock", run_dir) >=
        (int)sizeof at.sun_path)
        return err_say(e, ENAMETOOLONG, "--run is too long");
    if (fd < 0 || connect(fd, (const struct sockaddr *)&at, sizeof at) < 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return err_set(e, errno, "connect to '%s'", at.sun_path);
    t->netd = (struct watch){ fd_steal(&fd), on_netd };
    return 0;
}

static int open_clocks(struct tlsd *t, struct err *e)
{
    const struct itimerspec each_second = { { 1, 0 }, { 1, 0 } };
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_set(e, errno, "set up signals");
    t->signals = (struct watch){ signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), on_signal };
    t->tick =
        (struct watch){ timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), on_tick };
    t->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (t->signals.fd < 0 || t->tick.fd < 0 || t->epoll_fd < 0 ||
        timerfd_settime(t->tick.fd, 0, &each_second, NULL) < 0 ||
        watch_add(t, &t->netd, EPOLLIN) < 0 || watch_add(t, &t->tick, EPOLLIN) < 0 ||
        watch_add(t, &t->signals, EPOLLIN) < 0)
        return err_set(e, errno, "open signals and timer");
    return 0;
}

static int harden(uint32_t uid, struct err *e)
{
    struct filter filter;
    int death_signal = 0;

    if (prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) < 0)
        return err_set(e, errno, "read the parent's death signal");
    if (mnt_empty_root(e) < 0 || task_limit(RLIMIT_CORE, 0, e) < 0 ||
        task_limit(RLIMIT_NOFILE, FILES_WANTED, e) < 0 || task_limit_bounding(0, e) < 0 ||
        task_set_ids(uid, uid, e) < 0 || task_set_caps(0, e) < 0)
        return -e->code;
    /* A change of ids clears it, and then we would outlive our supervisor. */
    if ((death_signal && prctl(PR_SET_PDEATHSIG, (unsigned long)death_signal, 0, 0, 0) < 0) ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_set(e, errno, "set the process up");
    if (task_no_new_privs(e) < 0)
        return -e->code;
    filter_build(&filter, FILTER_TLSD);
    return filter_load(&filter, e);
}

static int start(struct tlsd *t, const struct options *o, struct err *e)
{
    if (geteuid() != 0)
        return err_say(e, EPERM, "tlsd must be started as root");
    if (load_seed(t, o->run_dir, e) < 0 || load_trust(t, o, e) < 0 || ca_init(&t->ca, e) < 0 ||
        connect_netd(t, o->run_dir, e) < 0 || open_clocks(t, e) < 0 ||
        harden((uint32_t)o->uid, e) < 0)
        return -e->code;
    if (o->ready_fd > 0) {
        (void)!write((int)o->ready_fd, "1", 1); /* who does not read it knows otherwise */
        (void)close((int)o->ready_fd);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct tlsd t; /* too large for the stack; passed down, never global */
    struct options o = { .bundle = "/etc/ssl/certs/ca-certificates.crt", .uid = 65528 };
    struct err e = { 0 };

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("tlsd " FIREBREAK_VERSION) < 0;
    log_init("tlsd", LOG_LEVEL_INFO);
    if (parse_options(&o, argc, argv, &e) < 0) {
        (void)fprintf(stderr, "tlsd: %s\n\n%s", e.text, usage);
        return 2;
    }
    if (start(&t, &o, &e) < 0) {
        (void)fprintf(stderr, "tlsd: %s\n", e.text);
        return 1;
    }
    log_info("tlsd_ready", "uid=%u", (unsigned)o.uid);
    loop(&t);
    log_info("tlsd_stopped", "connections=%u", t.n_conns);
    explicit_bzero(&t.ca.seed, sizeof t.ca.seed);
    return 0;
}
