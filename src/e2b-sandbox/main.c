/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox: the exposed service. Unprivileged, no capability; assume that it can be taken over. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "e2b-sandbox/answer.h"
#include "e2b-sandbox/app.h"
#include "e2b-sandbox/harden.h"
#include "e2b-sandbox/lifecycle.h"
#include "e2b-sandbox/netd_client.h"
#include "e2b-sandbox/network.h"
#include "e2b-sandbox/pool.h"
#include "e2b-sandbox/proxy.h"
#include "e2b-sandbox/reconcile.h"
#include "e2b-sandbox/recorder_client.h"
#include "e2b-sandbox/routes.h"
#include "e2b-sandbox/setup.h"
#include "store/template.h"

#define STOP_GRACE_NS    (5 * NS_PER_S)
#define FIRST_LOOK_NS    NS_PER_S /* for the warden to tell what still runs, before we do */
#define RESERVED_THREADS 16u

/* --- what the HTTP server calls --- */

static void handle(struct http_conn *c, void *arg)
{
    struct app *a = arg;
    struct routing to;

    routing_decide(http_head(c), &a->config.hosts, &to);
    if (to.kind == ROUTING_SANDBOX)
        proxy_handle(c, a, to.id, to.port);
    else if (to.kind == ROUTING_BAD)
        answer_error(c, 400, NULL, NULL, "%s", to.why);
    else if (!proxy_handle_signed(c, a))
        routes_handle(c, a);
}

/* Only what the API itself answers: a path of the same name behind a sandbox's port is not. */
static bool is_urgent(const struct http1_head *head, void *arg)
{
    const struct app *a = arg;
    struct routing to;

    if (!routes_is_urgent(head))
        return false;
    routing_decide(head, &a->config.hosts, &to);
    return to.kind == ROUTING_CONTROL;
}

static void on_done(const struct http1_head *head, unsigned status, uint64_t took_ns, void *arg)
{
    struct app *a = arg;
    char quoted[LOG_QUOTE_MAX];
    struct routing to;

    routing_decide(head, &a->config.hosts, &to);
    metrics_request(&a->metrics,
                    to.kind == ROUTING_CONTROL ? routes_class(head) : CLASS_SANDBOX_PORT,
                    status, took_ns);
    if (a->config.log_level >= LOG_LEVEL_DEBUG)
        log_debug("request", "method=%.*s target=%s status=%u us=%llu", (int)head->method.n,
                  head->method.p, log_quote(head->target, quoted), status,
                  (unsigned long long)(took_ns / 1000));
}

/* --- what the warden's client calls --- */

static void on_exited(const struct warden_msg *m, void *arg)
{
    struct app *a = arg;
    AUTO_SANDBOX struct sandbox *s = fleet_find_any(a->fleet, &m->id);

    if (s)
        lifecycle_ended_with(a, s, m);
    else
        pool_exited(atomic_load(&a->pool), &m->id);
}

static void on_connected(void *arg)
{
    struct app *a = arg;
    reconcile_soon(atomic_load(&a->reconciler));
}

/* --- start and stop --- */

static int open_signals(int *fd, struct err *e)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    /* Before the first thread, which inherits it. SIGPIPE: a reader of our log that goes must not end us. */
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
        return err_set(e, errno, "set up signals");
    *fd = signalfd(-1, &set, SFD_CLOEXEC);
    return *fd < 0 ? err_set(e, errno, "open a signal descriptor") : 0;
}

static int open_registry(struct app *a, struct err *e)
{
    char path[512], key[SETUP_KEY_MAX] = "";
    int rc = 0;

    (void)snprintf(path, sizeof path, "%s/db/firebreak.db",
                   a->config.state_dir); /* setup_db_dir has found it short enough */
    if (registry_open(&a->registry, path, e) < 0)
        return err_wrap(e, "the database must be writable for uid %u, as %s/db must be",
                        geteuid(), a->config.state_dir);
    if (a->config.key_fd >= 0) {
        rc = setup_read_key(a->config.key_fd, key, e);
        const struct digest d = digest_of(str_from(key));
        explicit_bzero(key, sizeof key);
        if (rc == 0)
            rc = registry_set_bootstrap_key(a->registry, &d, clock_real_ns(), e);
    }
    return rc < 0 ? rc : auth_new(&a->auth, a->registry, clock_real_ns(), e);
}

static int start_record(struct app *a, struct err *e)
{
    char path[512];

    if (!a->config.record) {
        log_warn("record_off", "nothing of what happens is recorded");
        return 0;
    }
    if (snprintf(path, sizeof path, "%s/recorder.sock", a->config.run_dir) >= (int)sizeof path)
        return err_say(e, ENAMETOOLONG, "--run is too long");
    if (recorder_start(&a->recorder, path, e) < 0)
        return -e->code;
    if (!recorder_wait_ready(a->recorder, FIRST_LOOK_NS))
        log_warn("started_without_recorder", "path=%s", path);
    return 0;
}

static int start_workers(struct app *a, struct err *e)
{
    const struct warden_events events = { on_exited, on_connected, a };
    struct reconciler *reconciler = NULL;
    char path[512];

    a->fleet = fleet_new();
    if (!a->fleet)
        return err_set(e, ENOMEM, "make the table of sandboxes");
    if (reconcile_load(a, e) < 0)
        return -e->code;
    if (snprintf(path, sizeof path, "%s/warden.sock", a->config.run_dir) >= (int)sizeof path)
        return err_say(e, ENAMETOOLONG, "--run is too long");
    if (warden_start(&a->warden, path, &events, e) < 0 ||
        reconcile_start(&reconciler, a, e) < 0)
        return -e->code;
    atomic_store(&a->reconciler, reconciler);
    /* Connected before this line, it could not tell the reconciler. */
    reconcile_soon(reconciler);
    return 0;
}

static int start_server(struct app *a, int listen_fd, struct err *e)
{
    struct http_config cfg;

    http_config_default(&cfg);
    cfg.reserved_threads = RESERVED_THREADS;
    cfg.max_conns_per_ip = cfg.max_conns / 4 * 3; /* one address leaves room for others */
    cfg.arg = a;
    cfg.handler = handle;
    cfg.is_urgent = is_urgent;
    cfg.on_done = on_done;
    struct http_server *server = NULL;
    int rc = http_server_start(&server, &cfg, listen_fd, e);
    atomic_store(&a->server, server);
    return rc;
}

static int start(struct app *a, struct err *e)
{
    AUTO_CLOSE int listen_fd = -1;
    uint16_t port;

    if (setup_limits(e) < 0 || setup_listener(&a->config, &listen_fd, &port, e) < 0 ||
        setup_db_dir(&a->config, e) < 0)
        return -e->code;
    if (harden_self(a->config.uid, a->config.state_dir, e) < 0)
        return err_wrap(e, "give up privileges");
    a->templates_fd = template_open_dir(a->config.state_dir, e);
    if (a->templates_fd < 0 || setup_lock(&a->config, &a->lock_fd, e) < 0 ||
        open_registry(a, e) < 0 || start_record(a, e) < 0 || start_workers(a, e) < 0)
        return -e->code;
    if (auth_key_count(a->auth) == 0)
        log_warn("no_api_key", "every request will be refused: start with --bootstrap-key-fd");
    if (!reconcile_wait_first(atomic_load(&a->reconciler), FIRST_LOOK_NS))
        log_warn("started_without_warden", "path=%s/warden.sock", a->config.run_dir);
    /* Before the first request: policies are in force again, whoever was restarted. */
    if (network_start(a, e) < 0)
        return -e->code;
    struct pool *pool = NULL;
    if (a->config.pool_max > 0 && pool_start(&pool, a, e) < 0)
        return -e->code;
    atomic_store(&a->pool, pool);
    if (start_server(a, listen_fd, e) < 0)
        return -e->code;
    (void)fd_steal(&listen_fd); /* the server's now */
    log_info("ready", "version=" FIREBREAK_VERSION " address=%s port=%u uid=%u",
             a->config.address, port, geteuid());
    return 0;
}

static void stop(struct app *a)
{
    struct http_server *server = atomic_load(&a->server);

    if (server)
        http_server_stop(server, STOP_GRACE_NS);
    struct pool *pool = atomic_load(&a->pool);
    if (pool)
        pool_drain(pool);
    reconcile_stop(atomic_load(&a->reconciler));
    netd_stop(a->netd);
    warden_stop(a->warden);
    recorder_stop(a->recorder);
    pool_free(pool);
    fleet_free(a->fleet);
    auth_free(a->auth);
    registry_close(a->registry);
    if (a->templates_fd >= 0)
        (void)close(a->templates_fd);
}

static int run(struct app *a)
{
    AUTO_CLOSE int signal_fd = -1;
    struct signalfd_siginfo got;
    struct err e = { 0 };
    char quoted[LOG_QUOTE_MAX];

    int rc = open_signals(&signal_fd, &e);
    if (rc == 0)
        rc = start(a, &e);
    if (rc < 0) {
        log_error("start_failed", "err=%s", log_quote(str_from(e.text), quoted));
        (void)fprintf(stderr, "e2b-sandbox: %s\n", e.text);
    } else {
        while (read(signal_fd, &got, sizeof got) < 0 && errno == EINTR)
            ;
        log_info("stopping", "signal=%u", got.ssi_signo);
    }
    stop(a);
    if (rc == 0)
        log_info("stopped", "uptime_s=%llu",
                 (unsigned long long)((clock_mono_ns() - a->start_mono_ns) / NS_PER_S));
    return rc < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct app a = { .templates_fd = -1,
                     .lock_fd = -1,
                     .start_real_ns = clock_real_ns(),
                     .start_mono_ns = clock_mono_ns() };
    struct err e = { 0 };

    switch (config_parse(&a.config, argc, argv, &e)) {
    case CONFIG_HELP:
        (void)fputs(config_usage, stdout);
        return fflush(stdout) == 0 ? 0 : 1;
    case CONFIG_VERSION:
        (void)puts("e2b-sandbox " FIREBREAK_VERSION);
        return fflush(stdout) == 0 ? 0 : 1;
    case CONFIG_BAD:
        (void)fprintf(stderr, "e2b-sandbox: %s\n\n%s", e.text, config_usage);
        return 2;
    case CONFIG_RUN:
        break;
    }
    log_init("e2b-sandbox", a.config.log_level);
    return run(&a);
}
