/* SPDX-License-Identifier: Apache-2.0 */
/* envd: the agent inside a sandbox, its PID 1. See README.md. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "envd/app.h"
#include "envd/rpc.h"
#include "envd/sudo.h"
#include "envd/sudo_proto.h"

#define LISTEN_FD    3 /* given by whoever starts us as PID 1 */
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

struct options {
    const char *listen; /* ADDRESS:PORT; NULL: LISTEN_FD */
    const char *run_dir;
};

static int usage(FILE *out, int status)
{
    (void)fprintf(
        out, "usage: envd [--listen ADDRESS:PORT] [--run-dir DIR]\n"
             "Serves the agent protocol of a sandbox on descriptor 3, or on ADDRESS:PORT.\n");
    return status;
}

static int parse_options(int argc, char **argv, struct options *o)
{
    static const struct option words[] = { { "listen", required_argument, NULL, 'l' },
                                           { "run-dir", required_argument, NULL, 'r' },
                                           { "help", no_argument, NULL, 'h' },
                                           { "version", no_argument, NULL, 'V' },
                                           { 0 } };
    int c;

    while ((c = getopt_long(argc, argv, "", words, NULL)) != -1) {
        switch (c) {
        case 'l':
            o->listen = optarg;
            break;
        case 'r':
            o->run_dir = optarg;
            break;
        case 'h':
            exit(usage(stdout, 0));
        case 'V':
            (void)printf("envd %s\n", FIREBREAK_VERSION);
            exit(0);
        default:
            return -1;
        }
    }
    return optind == argc ? 0 : -1;
}

static int listen_on(const char *text, struct err *e)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    struct str host, port;
    char address[64];
    uint64_t n;
    int one = 1;

    if (!str_cut(str_from(text), ':', &host, &port) ||
        str_copy(host, address, sizeof address) < 0 ||
        inet_pton(AF_INET, address, &at.sin_addr) != 1 ||
        num_parse_u64(port, 0, UINT16_MAX, &n) < 0)
        return err_say(e, EINVAL, "'%s' is not ADDRESS:PORT", text);
    at.sin_port = htons((uint16_t)n);
    AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, (const struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 1024) < 0)
        return err_set(e, errno, "listen on %s", text);
    return fd_steal(&fd);
}

/* SIGCHLD arrives through a signalfd; the mask is inherited by every thread. */
static void arrange_signals(void)
{
    sigset_t chld;

    (void)sigemptyset(&chld);
    (void)sigaddset(&chld, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &chld, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* An idle sandbox should cost little: few arenas, and big blocks go back at once. */
static void arrange_memory(void)
{
    (void)mallopt(M_ARENA_MAX, 2);
    (void)mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 64 * 1024);
}

static int start(struct app *a, const struct options *o, struct err *e)
{
    const char *path = getenv("PATH");

    a->is_root = geteuid() == 0;
    a->run_dir = o->run_dir;
    a->path_env = path && path[0] ? path : DEFAULT_PATH;
    if (settings_init(&a->settings) < 0)
        return err_set(e, ENOMEM, "settings");
    int rc = loop_init(&a->loop);
    if (rc == 0)
        rc = proc_table_new(&a->procs, &a->loop);
    if (rc == 0)
        rc = watch_table_new(&a->watches, &a->loop);
    if (rc == 0)
        rc = warm_new(&a->warm, a->procs, &a->loop);
    if (rc < 0)
        return err_set(e, -rc, "start");
    if (mkdir(a->run_dir, 0755) < 0 && errno != EEXIST)
        return err_set(e, errno, "make '%s'", a->run_dir);
    app_write_identity(a);
    return sudo_start(&a->sudo, a, e);
}

static int serve(struct app *a, int listen_fd, struct err *e)
{
    struct http_config cfg;
    struct http_server *server;

    http_config_default(&cfg);
    cfg.max_threads = 256;
    cfg.reserved_threads = 8;
    cfg.thread_idle_ns = 2 * NS_PER_S;
    cfg.io_timeout_ns = 300 * NS_PER_S; /* a reader that pauses is back-pressure, not a fault */
    cfg.max_body = RPC_BODY_MAX + 1024;
    cfg.arg = a;
    cfg.handler = app_serve;
    cfg.is_urgent = app_is_urgent;
    return http_server_start(&server, &cfg, listen_fd, e);
}

/* The main thread is the loop. It never ends: a PID 1 that exits takes the sandbox with it. */
_Noreturn static void run(struct app *a)
{
    uint64_t until_ns = 0;
    bool busy = false;

    for (;;) {
        uint64_t now_ns = clock_mono_ns();
        if (!loop_step(&a->loop, now_ns, until_ns))
            continue;
        uint64_t procs_ns = proc_tick(a->procs, clock_mono_ns());
        uint64_t warm_ns = warm_tick(a->warm, clock_mono_ns());
        until_ns = procs_ns < warm_ns ? procs_ns : warm_ns;
        watch_table_tick(a->watches);
        bool is_busy = proc_count(a->procs) > 0;
        if (busy && !is_busy)
            (void)malloc_trim(0);
        busy = is_busy;
    }
}

static int die(const struct err *e)
{
    log_error("envd_failed", "err=\"%s\"", e->text);
    return 1;
}

int main(int argc, char **argv)
{
    static struct app app; /* lives as long as the process */
    struct options o = { .run_dir = SUDO_RUN_DIR };
    struct err e;

    if (argc > 0 && str_eq(paths_base(str_from(argv[0])), STR("sudo")))
        return sudo_command(argc, argv);
    log_init("envd", LOG_LEVEL_INFO);
    if (parse_options(argc, argv, &o) < 0)
        return usage(stderr, 2);
    arrange_signals();
    arrange_memory();
    (void)umask(022);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0,
                0); /* our memory holds the token: not for programs of the same user id */
    int fd =
        o.listen ? listen_on(o.listen, &e) : fcntl(LISTEN_FD, F_DUPFD_CLOEXEC, LISTEN_FD + 1);
    if (fd < 0)
        return o.listen ? die(&e) : (err_set(&e, errno, "descriptor 3"), die(&e));
    if (!o.listen)
        (void)close(LISTEN_FD);
    if (start(&app, &o, &e) < 0 || serve(&app, fd, &e) < 0)
        return die(&e);
    run(&app);
}
