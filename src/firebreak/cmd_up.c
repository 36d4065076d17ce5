/* SPDX-License-Identifier: Apache-2.0 */
/* firebreak up: supervises the warden, the API and netd of one instance in the foreground. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"
#include "base/str.h"
#include "firebreak/child.h"
#include "firebreak/cli.h"
#include "firebreak/net.h"
#include "firebreak/place.h"
#include "firebreak/programs.h"
#include "firebreak/state_dir.h"
#include "firebreak/tell_record.h"
#include "http/client.h"

#define API_UID              65532u
#define NETD_UID             65531u
#define RECORDER_UID         65530u
#define TLSD_UID             65528u
#define READY_LIMIT_NS       (20 * NS_PER_S)
#define ASK_LIMIT_NS         (500 * NS_PER_MS)
#define PREDECESSOR_LIMIT_NS (10 * NS_PER_S)
#define STOP_LIMIT_NS        (10 * NS_PER_S)
#define STOP_ALL_LIMIT_NS    (60 * NS_PER_S)
#define STOP_ALL_TRIES       3
#define POLL_MS              20
#define LISTEN_BACKLOG       1024
#define EXTRA_MAX            28u /* words of options that are handed on, and NULL */

enum service { WARDEN, API, NETD, RECORDER, TLSD, SHIPPER, SERVICES };

struct up {
    struct place place;
    uint64_t max_sandboxes, uid_base;
    const char *log_dir; /* or NULL: children's logs go to our stderr */
    bool keep;
    bool internet; /* sandboxes may have a network: netd runs, too */
    bool record;   /* what happens is recorded: recorder runs, too */
    struct net_forwarding forwarding;
    bool
        has_served; /* before that, sandboxes are those of an earlier `up`, and not ours to end */
    char host[128];
    unsigned port;
    char url[256];
    char warden_path[PROGRAM_PATH_MAX], jailmon_path[PROGRAM_PATH_MAX];
    char envd_path[PROGRAM_PATH_MAX], api_path[PROGRAM_PATH_MAX], netd_path[PROGRAM_PATH_MAX];
    char recorder_path[PROGRAM_PATH_MAX], tlsd_path[PROGRAM_PATH_MAX],
        shipper_path[PROGRAM_PATH_MAX];
    char uid_text[16], netd_uid_text[16], recorder_uid_text[16], tlsd_uid_text[16],
        base_text[16], max_text[16];
    char *warden_argv[CHILD_ARGS_MAX], *api_argv[CHILD_ARGS_MAX], *netd_argv[CHILD_ARGS_MAX];
    char *recorder_argv[CHILD_ARGS_MAX], *tlsd_argv[CHILD_ARGS_MAX],
        *shipper_argv[CHILD_ARGS_MAX];
    struct extra {
        char *word[EXTRA_MAX]; /* options handed on with their values; NULL after the last */
        size_t n;
    } extra[SERVICES];
    struct child warden, api, netd, recorder, tlsd, shipper; /* argv NULL: it is not wanted */
    int lock_fd, signal_fd, key_fd, listen_fd, warden_log_fd, api_log_fd, netd_log_fd,
        recorder_log_fd, tlsd_log_fd, shipper_log_fd;
    int tlsd_ready[2]; /* a pipe: it writes when it serves */
    int record_fd[2];  /* the recorder's and netd's end of their socket */
    char key[API_KEY_TEXT_MAX];
    int stop_signal;
};

static void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* One line about what has just become true. */
static void say(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)putc('\n', stderr);
}

/* What cannot be recorded is said here, and by the API's refusals. */
static void tell(const struct up *u, enum audit_event event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static void tell(const struct up *u, enum audit_event event, const char *fmt, ...)
{
    char reason[128];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    if (u->record && u->recorder.pid != 0)
        (void)tell_record(&u->place, event, reason);
}

/* --- before anything runs --- */

/* Splits --listen ("127.0.0.1:7070", "[::1]:7070"). */
static int parse_listen(struct up *u, struct err *e)
{
    struct str s = str_from(u->place.listen), host;
    struct in6_addr binary;
    uint64_t port;
    size_t colon = s.n;

    while (colon > 0 && s.p[colon - 1] != ':')
        colon--;
    if (colon < 2 || num_parse_u64(str_sub(s, colon, s.n - colon), 0, 65535, &port) < 0)
        return err_say(e, EINVAL, "--listen takes ADDRESS:PORT, not '%s'", u->place.listen);
    host = str_sub(s, 0, colon - 1);
    if (str_starts(host, STR("[")) && str_ends(host, STR("]")))
        host = str_sub(host, 1, host.n - 2);
    if (str_copy(host, u->host, sizeof u->host) < 0 ||
        (inet_pton(AF_INET, u->host, &binary) != 1 &&
         inet_pton(AF_INET6, u->host, &binary) != 1))
        return err_say(e, EINVAL, "--listen takes an IPv4 or IPv6 address and a port, not '%s'",
                       u->place.listen);
    u->port = (unsigned)port;
    return 0;
}

/* The listening socket is ours and every API that we start gets it: nobody else can take the port while one is not there, and
 * clients that come meanwhile wait. Port 0 becomes one that is free. */
static int open_listener(struct up *u, struct err *e)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at = { 0 };
    bool v6 = strchr(u->host, ':') != NULL;
    socklen_t n = v6 ? sizeof at.v6 : sizeof at.v4;
    int one = 1;

    at.any.sa_family = v6 ? AF_INET6 : AF_INET;
    at.v4.sin_port = htons((uint16_t)u->port); /* where IPv6 has it, too */
    (void)inet_pton(at.any.sa_family, u->host,
                    v6 ? (void *)&at.v6.sin6_addr : (void *)&at.v4.sin_addr);
    AUTO_CLOSE int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, &at.any, n) < 0 || listen(fd, LISTEN_BACKLOG) < 0 ||
        getsockname(fd, &at.any, &n) < 0)
        return err_set(e, errno, "listen on %s", u->place.listen);
    u->port = ntohs(at.v4.sin_port);
    (void)snprintf(u->place.listen, sizeof u->place.listen, "%s%.48s%s:%u", v6 ? "[" : "",
                   u->host, v6 ? "]" : "", u->port);
    /* Who listens everywhere is reached at loopback. */
    if (strcmp(u->host, "0.0.0.0") == 0 || strcmp(u->host, "::") == 0)
        (void)snprintf(u->host, sizeof u->host, "%s", v6 ? "::1" : "127.0.0.1");
    (void)snprintf(u->url, sizeof u->url, "http://%s%s%s:%u", v6 ? "[" : "", u->host,
                   v6 ? "]" : "", u->port);
    u->listen_fd = fd_steal(&fd);
    return 0;
}

/* An `up` that was killed leaves api.url behind, and its API answers what it has begun before it lets go of the address. */
static int take_listen(struct up *u, struct err *e)
{
    char path[PLACE_PATH_MAX + 32];
    uint64_t until_ns = clock_mono_ns() + PREDECESSOR_LIMIT_NS;
    int rc = open_listener(u, e);

    (void)snprintf(path, sizeof path, "%s/api.url", u->place.run);
    while (rc == -EADDRINUSE && access(path, F_OK) == 0 && clock_mono_ns() < until_ns) {
        (void)usleep(POLL_MS * 1000);
        rc = open_listener(u, e);
    }
    return rc;
}

/* The key in a sealed file that has no name: the API reads it, and nobody finds it in an environment or command line. */
static int make_key_fd(struct up *u, struct err *e)
{
    AUTO_CLOSE int fd = memfd_create("api-key", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return err_set(e, errno, "make a file for the API key");
    size_t n = strlen(u->key);
    if (write(fd, u->key, n) != (ssize_t)n || write(fd, "\n", 1) != 1 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        return err_set(e, errno, "hand over the API key");
    u->key_fd = fd_steal(&fd);
    return 0;
}

static int open_log(const struct up *u, const char *name, int *fd, struct err *e)
{
    char path[512];

    *fd = STDERR_FILENO;
    if (!u->log_dir)
        return 0;
    if (mkdir(u->log_dir, 0755) < 0 && errno != EEXIST)
        return err_set(e, errno, "make '%s'", u->log_dir);
    if (snprintf(path, sizeof path, "%s/%s.log", u->log_dir, name) >= (int)sizeof path)
        return err_say(e, ENAMETOOLONG, "--log-dir is too long");
    *fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
    return *fd < 0 ? err_set(e, errno, "open '%s'", path) : 0;
}

/* --loki was given. */
static bool ships(const struct up *u)
{
    return u->record && u->extra[SHIPPER].n > 0;
}

static int find_programs(struct up *u, struct err *e)
{
    int rc = program_find("warden", u->warden_path, e);

    if (rc == 0)
        rc = program_find("jailmon", u->jailmon_path, e);
    if (rc == 0)
        rc = program_find("envd", u->envd_path, e);
    if (rc == 0)
        rc = program_find("e2b-sandbox", u->api_path, e);
    if (rc == 0 && u->internet)
        rc = program_find("netd", u->netd_path, e);
    if (rc == 0 && u->record)
        rc = program_find("recorder", u->recorder_path, e);
    if (rc == 0 && u->internet)
        rc = program_find("tlsd", u->tlsd_path, e);
    if (rc == 0 && ships(u))
        rc = program_find("shipper", u->shipper_path, e);
    return rc;
}

static char *arg(const char *s)
{
    return (char *)(uintptr_t)s; /* execve takes char *const[] and changes nothing */
}

static void make_command_lines(struct up *u)
{
    (void)snprintf(u->uid_text, sizeof u->uid_text, "%u", API_UID);
    (void)snprintf(u->base_text, sizeof u->base_text, "%u", (unsigned)u->uid_base);
    (void)snprintf(u->max_text, sizeof u->max_text, "%u", (unsigned)u->max_sandboxes);
    char *const warden[] = { u->warden_path,    arg("--instance"), u->place.instance,
                             arg("--state"),    u->place.state,    arg("--run"),
                             u->place.run,      arg("--api-uid"),  u->uid_text,
                             arg("--uid-base"), u->base_text,      arg("--max-sandboxes"),
                             u->max_text,       arg("--jailmon"),  u->jailmon_path,
                             arg("--envd"),     u->envd_path };
    char *const api[] = { u->api_path,
                          arg("--state"),
                          u->place.state,
                          arg("--run"),
                          u->place.run,
                          arg("--listen"),
                          u->place.listen,
                          arg("--uid"),
                          u->uid_text,
                          arg("--bootstrap-key-fd"),
                          arg("3"),
                          arg("--listen-fd"),
                          arg("4"),
                          arg("--internet"),
                          arg(u->internet ? "allow" : "deny"),
                          arg("--record"),
                          arg(u->record ? "on" : "off") };
    _Static_assert(ARRAY_LEN(warden) + EXTRA_MAX + 1 <= CHILD_ARGS_MAX,
                   "room for --stop-all, too");
    memcpy(u->warden_argv, warden, sizeof warden);
    memcpy(u->warden_argv + ARRAY_LEN(warden), u->extra[WARDEN].word,
           sizeof u->extra[WARDEN].word);
    _Static_assert(ARRAY_LEN(api) + EXTRA_MAX <= CHILD_ARGS_MAX,
                   "room for the options that are handed on");
    memcpy(u->api_argv, api, sizeof api);
    memcpy(u->api_argv + ARRAY_LEN(api), u->extra[API].word, sizeof u->extra[API].word);
    u->warden = (struct child){
        .name = "warden", .argv = u->warden_argv, .log_fd = u->warden_log_fd, .pass_fd = { -1 }
    };
    u->api = (struct child){ .name = "e2b-sandbox",
                             .argv = u->api_argv,
                             .log_fd = u->api_log_fd,
                             .pass_fd = { u->key_fd, u->listen_fd, -1 } };
}

static void add_arg(char **argv, const char *name)
{
    size_t n = 0;

    while (argv[n])
        n++;
    argv[n] = arg(name); /* far from CHILD_ARGS_MAX */
}

static void make_netd_command_line(struct up *u)
{
    char *const netd[] = { u->netd_path, arg("--instance"), u->place.instance,
                           arg("--run"), u->place.run,      arg("--api-uid"),
                           u->uid_text,  arg("--uid"),      u->netd_uid_text };

    if (!u->internet)
        return;
    (void)snprintf(u->netd_uid_text, sizeof u->netd_uid_text, "%u", NETD_UID);
    _Static_assert(ARRAY_LEN(netd) + EXTRA_MAX + 4 <= CHILD_ARGS_MAX,
                   "room for --guard-forward and --remove");
    memset(u->netd_argv, 0, sizeof u->netd_argv);
    memcpy(u->netd_argv, netd, sizeof netd);
    memcpy(u->netd_argv + ARRAY_LEN(netd), u->extra[NETD].word, sizeof u->extra[NETD].word);
    if (u->forwarding.was_off)
        add_arg(u->netd_argv, "--guard-forward");
    if (u->record_fd[1] >= 0) {
        add_arg(u->netd_argv, "--record-fd");
        add_arg(u->netd_argv, "3");
    }
    u->netd = (struct child){ .name = "netd",
                              .argv = u->netd_argv,
                              .log_fd = u->netd_log_fd,
                              .pass_fd = { u->record_fd[1], -1 } };
}

static void make_recorder_command_line(struct up *u)
{
    char *const recorder[] = { u->recorder_path,     arg("--state"),   u->place.state,
                               arg("--run"),         u->place.run,     arg("--uid"),
                               u->recorder_uid_text, arg("--api-uid"), u->uid_text };

    if (!u->record)
        return;
    (void)snprintf(u->recorder_uid_text, sizeof u->recorder_uid_text, "%u", RECORDER_UID);
    _Static_assert(ARRAY_LEN(recorder) + EXTRA_MAX + 2 <= CHILD_ARGS_MAX,
                   "room for the options that are handed on");
    memcpy(u->recorder_argv, recorder, sizeof recorder);
    memcpy(u->recorder_argv + ARRAY_LEN(recorder), u->extra[RECORDER].word,
           sizeof u->extra[RECORDER].word);
    u->recorder = (struct child){ .name = "recorder",
                                  .argv = u->recorder_argv,
                                  .log_fd = u->recorder_log_fd,
                                  .pass_fd = { u->record_fd[0], -1 } };
    if (u->record_fd[0] >= 0) {
        add_arg(u->recorder_argv, "--peer-fd");
        add_arg(u->recorder_argv, "3");
    }
}

static void make_shipper_command_line(struct up *u)
{
    char *const shipper[] = { u->shipper_path, arg("--state"), u->place.state, arg("--run"),
                              u->place.run };

    if (!ships(u))
        return;
    memcpy(u->shipper_argv, shipper, sizeof shipper);
    memcpy(u->shipper_argv + ARRAY_LEN(shipper), u->extra[SHIPPER].word,
           sizeof u->extra[SHIPPER].word);
    u->shipper = (struct child){ .name = "shipper",
                                 .argv = u->shipper_argv,
                                 .log_fd = u->shipper_log_fd,
                                 .pass_fd = { -1 } };
}

static void make_tlsd_command_line(struct up *u)
{
    char *const tlsd[] = { u->tlsd_path,     arg("--run"),      u->place.run, arg("--uid"),
                           u->tlsd_uid_text, arg("--ready-fd"), arg("3") };

    if (!u->internet)
        return;
    (void)snprintf(u->tlsd_uid_text, sizeof u->tlsd_uid_text, "%u", TLSD_UID);
    memcpy(u->tlsd_argv, tlsd, sizeof tlsd);
    memcpy(u->tlsd_argv + ARRAY_LEN(tlsd), u->extra[TLSD].word, sizeof u->extra[TLSD].word);
    _Static_assert(ARRAY_LEN(tlsd) + EXTRA_MAX <= CHILD_ARGS_MAX, "room for what is handed on");
    u->tlsd = (struct child){ .name = "tlsd",
                              .argv = u->tlsd_argv,
                              .log_fd = u->tlsd_log_fd,
                              .pass_fd = { u->tlsd_ready[1], -1 } };
}

static int open_signals(struct up *u, struct err *e)
{
    sigset_t set;

    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return err_set(e, errno, "block signals");
    u->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return u->signal_fd < 0 ? err_set(e, errno, "open a signal descriptor") : 0;
}

/* --- while it runs --- */

/* Waits for a signal, at most `ms`. Notes a request to stop. */
static void wait_signal(struct up *u, int ms)
{
    struct pollfd p = { .fd = u->signal_fd, .events = POLLIN };
    struct signalfd_siginfo info;

    if (poll(&p, 1, ms) <= 0)
        return;
    while (read(u->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo != SIGCHLD)
            u->stop_signal = (int)info.ssi_signo;
}

static bool accepts(const struct up *u, const char *socket_name)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s/%s", u->place.run, socket_name);
    /* The API's uid is served only; be that while connecting, so that it need not log a stranger. */
    if (fd < 0 || seteuid(API_UID) < 0)
        return false;
    bool ok = connect(fd, (const struct sockaddr *)&at, sizeof at) == 0;
    if (seteuid(0) < 0)
        abort(); /* cannot happen: the saved uid is 0 */
    return ok;
}

static bool warden_answers(const struct up *u)
{
    return accepts(u, "warden.sock");
}

static bool netd_answers(const struct up *u)
{
    return accepts(u, "netd.sock");
}

static bool recorder_answers(const struct up *u)
{
    return accepts(u, "recorder.sock");
}

static bool tlsd_answers(const struct up *u)
{
    struct pollfd p = { .fd = u->tlsd_ready[0], .events = POLLIN };
    return poll(&p, 1, 0) > 0;
}

static bool api_answers(const struct up *u)
{
    struct http_client c;
    struct err ignored;
    bool ok = false;
    int fd = http_client_connect(u->host, u->port, ASK_LIMIT_NS, &ignored);

    if (fd < 0)
        return false;
    http_client_init(&c, fd, ASK_LIMIT_NS);
    ok = http_client_send(&c, "GET", "/health", u->place.listen, "", STR(""), &ignored) == 0 &&
         http_client_head(&c, false, &ignored) == 0 && c.head.status < 400;
    http_client_fini(&c);
    return ok;
}

/* What ended while it was starting: an error if that was its own doing, a second try if somebody killed it, which is no fault of this
 * machine. */
static int try_again(const struct up *u, struct child *c, bool ended, struct err *e)
{
    char status[64];

    if (ended && !WIFSIGNALED(c->exit_status)) {
        child_status_text(c->exit_status, status);
        return err_say(e, ECHILD, "%s did not start: %s; its log is %s%s", c->name, status,
                       u->log_dir ? "in " : "above", u->log_dir ? u->log_dir : "");
    }
    uint64_t now_ns = clock_mono_ns();
    if (ended)
        child_plan_restart(c, now_ns);
    return c->restart_ns && now_ns >= c->restart_ns ? child_start(c, now_ns, e) : 0;
}

/* Starts one child and waits until it serves. It is asked only while it lives: the listening socket is ours, and would take a
 * question for one that died. */
static int bring_up(struct up *u, struct child *c, bool (*answers)(const struct up *u),
                    struct err *e)
{
    uint64_t begun_ns = clock_mono_ns();
    int rc = child_start(c, begun_ns, e);

    while (rc == 0) {
        bool ended = child_ended(c);
        if (c->pid != 0 && answers(u))
            return 0;
        wait_signal(u, POLL_MS);
        if (u->stop_signal)
            return err_say(e, EINTR, "stopped while %s was starting", c->name);
        rc = try_again(u, c, ended, e);
        if (rc == 0 && clock_mono_ns() - begun_ns > READY_LIMIT_NS)
            return err_say(e, ETIMEDOUT, "%s does not answer after %llu s", c->name,
                           (unsigned long long)(READY_LIMIT_NS / NS_PER_S));
    }
    return rc;
}

static void tend(const struct up *u, struct child *c)
{
    uint64_t now_ns = clock_mono_ns();
    char status[64];
    struct err e;

    if (child_ended(c)) {
        child_status_text(c->exit_status, status);
        child_plan_restart(c, now_ns);
        say("firebreak: %s ended (%s): starting it again in %.1f s", c->name, status,
            (double)c->backoff_ns / (double)NS_PER_S);
        tell(u, AUDIT_DAEMON_STOPPED, "%s, %s", c->name, status);
    }
    if (c->restart_ns && now_ns >= c->restart_ns && child_start(c, now_ns, &e) < 0) {
        child_plan_restart(c, now_ns);
        say("firebreak: %s: next try in %.1f s", e.text,
            (double)c->backoff_ns / (double)NS_PER_S);
    }
}

static int wait_ms(const struct child *c, uint64_t now_ns)
{
    if (!c->restart_ns)
        return 60000;
    return c->restart_ns <= now_ns ? 0 : (int)((c->restart_ns - now_ns) / NS_PER_MS) + 1;
}

/* Tends first: one may have ended while the other was still starting, and nothing would tell of it again. */
static void supervise(struct up *u)
{
    while (!u->stop_signal) {
        tend(u, &u->recorder);
        tend(u, &u->shipper);
        tend(u, &u->warden);
        tend(u, &u->netd);
        tend(u, &u->tlsd);
        tend(u, &u->api);
        uint64_t now_ns = clock_mono_ns();
        int a = wait_ms(&u->warden, now_ns), b = wait_ms(&u->api, now_ns);
        int c = wait_ms(&u->netd, now_ns), d = wait_ms(&u->recorder, now_ns);
        int s = wait_ms(&u->shipper, now_ns);
        int t = wait_ms(&u->tlsd, now_ns);
        d = d < s ? d : s;
        d = d < t ? d : t;
        a = a < b ? a : b;
        c = c < d ? c : d;
        wait_signal(u, a < c ? a : c);
    }
}

/* sd_notify(3), for a unit with Type=notify: tells systemd that the instance serves. */
static void tell_systemd(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    size_t n = path ? strlen(path) : 0;

    if (n < 2 || n >= sizeof at.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(at.sun_path, path, n);
    if (path[0] == '@')
        at.sun_path[0] = '\0';
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    /* Nobody there to be told is no failure of ours. */
    (void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&at,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
}

static void print_environment(const struct up *u)
{
    (void)printf("\nFirebreak " FIREBREAK_VERSION
                 " is up (instance %s). Ctrl-C stops it%s.\n\n",
                 u->place.instance,
                 u->keep ? " and leaves the sandboxes running" : " and ends its sandboxes");
    /* A key belongs on the operator's screen, not in a journal. */
    if (isatty(STDOUT_FILENO))
        (void)printf("  export E2B_API_KEY=%s\n", u->key);
    else
        (void)printf("  export E2B_API_KEY=$(sudo cat %s/api.key)\n", u->place.state);
    (void)printf("  export E2B_API_URL=%s\n  export E2B_SANDBOX_URL=%s\n", u->url, u->url);
    /* What getHost(port) of the SDKs makes names of: {port}-{id}.localhost is this machine. */
    (void)printf("  export E2B_DOMAIN=localhost:%u\n\n", u->port);
    (void)fflush(stdout);
}

static void warn_if_no_template(const struct up *u)
{
    char path[PLACE_PATH_MAX + 32];

    (void)snprintf(path, sizeof path, "%s/templates/base.json", u->place.state);
    if (access(path, R_OK) < 0)
        say("template      none yet: build one with 'firebreak template build%s%s'",
            strcmp(u->place.state, "/var/lib/firebreak") == 0 ? "" : " --state ",
            strcmp(u->place.state, "/var/lib/firebreak") == 0 ? "" : u->place.state);
}

/* Sandboxes that go on (not `remove`) keep their interfaces, and the table that holds them. Without netd they start no new connection. */
static void stop_netd(struct up *u, bool remove)
{
    struct err e;

    if (!u->internet)
        return;
    child_stop(&u->tlsd, STOP_LIMIT_NS);
    child_stop(&u->netd, STOP_LIMIT_NS);
    if (!remove || !u->netd.argv)
        return;
    add_arg(u->netd_argv, "--remove");
    struct child end = u->netd;
    end.name = "netd --remove";
    if (child_start(&end, clock_mono_ns(), &e) < 0) {
        say("firebreak: %s", e.text);
        return;
    }
    uint64_t until_ns = clock_mono_ns() + STOP_LIMIT_NS;
    while (!child_ended(&end) && clock_mono_ns() < until_ns)
        wait_signal(u, POLL_MS);
    child_stop(&end, STOP_LIMIT_NS);
    if (end.exit_status != 0)
        say("firebreak: the table of netd could not be removed");
    net_forward_done(&u->forwarding);
}

/* Has the warden end them, also if it is killed at that. 0 and its status, or -errno if it could not be started. */
static int end_sandboxes(struct up *u, int *status, struct err *e)
{
    struct child end = u->warden;

    add_arg(u->warden_argv, "--stop-all");
    end.name = "warden --stop-all";
    for (int tries = 0; tries < STOP_ALL_TRIES; tries++) {
        uint64_t now_ns = clock_mono_ns();
        if (child_start(&end, now_ns, e) < 0)
            return -e->code;
        while (!child_ended(&end) && clock_mono_ns() < now_ns + STOP_ALL_LIMIT_NS)
            wait_signal(u, POLL_MS);
        child_stop(&end, STOP_LIMIT_NS);
        *status = end.exit_status;
        if (!WIFSIGNALED(*status) || clock_mono_ns() >= now_ns + STOP_ALL_LIMIT_NS)
            break;
    }
    return 0;
}

/* Ends everything in order: no new requests, no new sandboxes, then the sandboxes. */
static int stop(struct up *u)
{
    int status = 0;
    char text[64];
    struct err e;

    tell_systemd("STOPPING=1");
    state_dir_remove_url(&u->place);
    child_stop(&u->api, STOP_LIMIT_NS);
    child_stop(&u->warden, STOP_LIMIT_NS);
    tell(u, AUDIT_DAEMON_STOPPED, "all, signal %d", u->stop_signal);
    child_stop(&u->shipper, STOP_LIMIT_NS);
    child_stop(&u->recorder, STOP_LIMIT_NS); /* the last: it hears of all ends */
    if (u->keep || (!u->has_served && !u->stop_signal && state_dir_has_records(&u->place))) {
        stop_netd(u, false);
        say("firebreak: stopped; sandboxes go on until their time-outs, or until it is up "
            "again");
        return CLI_OK;
    }
    if (end_sandboxes(u, &status, &e) < 0)
        return cli_fail(&e, "sandboxes may still run; 'firebreak up' takes them over again");
    stop_netd(u, true);
    if (status != 0) {
        child_status_text(status, text);
        say("firebreak: ending the sandboxes failed (%s); 'firebreak up' takes them over again",
            text);
        return CLI_FAILED;
    }
    state_dir_clean_run(&u->place);
    say("firebreak: stopped");
    return CLI_OK;
}

/* netd, with its empty root, has no way to the recorder's path. Ours as long as we live: what netd has said waits for a recorder that is started again. */
static int make_record_socket(struct up *u, struct err *e)
{
    if (!u->record || !u->internet)
        return 0;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, u->record_fd) <
                   0
               ? err_set(e, errno, "make a socket for netd and recorder")
               : 0;
}

static int prepare(struct up *u, struct err *e)
{
    int rc = find_programs(u, e);

    if (rc == 0)
        rc = state_dir_prepare(&u->place, API_UID, e);
    if (rc == 0) {
        u->lock_fd = state_dir_lock(&u->place, e);
        rc = u->lock_fd < 0 ? u->lock_fd : 0;
    }
    if (rc == 0)
        rc = take_listen(u, e);
    if (rc == 0)
        rc = state_dir_api_key(&u->place, u->key, e);
    if (rc == 0)
        rc = make_key_fd(u, e);
    if (rc == 0)
        rc = open_log(u, "warden", &u->warden_log_fd, e);
    if (rc == 0)
        rc = open_log(u, "e2b-sandbox", &u->api_log_fd, e);
    if (rc == 0 && u->internet)
        rc = open_log(u, "netd", &u->netd_log_fd, e);
    if (rc == 0 && u->record)
        rc = open_log(u, "recorder", &u->recorder_log_fd, e);
    if (rc == 0 && ships(u))
        rc = open_log(u, "shipper", &u->shipper_log_fd, e);
    if (rc == 0 && u->internet)
        rc = open_log(u, "tlsd", &u->tlsd_log_fd, e);
    if (rc == 0 && u->internet && pipe2(u->tlsd_ready, O_CLOEXEC | O_NONBLOCK) < 0)
        rc = err_set(e, errno, "make a pipe");
    if (rc == 0 && u->internet)
        rc = net_forward_look(&u->forwarding, e);
    if (rc == 0)
        rc = open_signals(u, e);
    if (rc == 0)
        rc = make_record_socket(u, e);
    return rc;
}

static const char *hint(const struct err *e)
{
    switch (e->code) {
    case EBUSY:
        return "stop that one, or start another beside it: --instance NAME --listen "
               "127.0.0.1:PORT";
    case EADDRINUSE:
        return "another program uses the port: choose one with --listen 127.0.0.1:PORT (port "
               "0: any free one)";
    case ENOENT:
        return "build it with 'make', or install the package";
    case ECHILD:
    case ETIMEDOUT:
        return "'firebreak doctor' tells what this machine lacks";
    default:
        return NULL;
    }
}

/* What an instance before this one has left of networks (it ended with --keep, or was killed): with `deny` no sandbox has one. */
static int remove_old_networks(struct up *u, struct err *e)
{
    char path[PLACE_RUN_MAX + 16];

    (void)snprintf(path, sizeof path, "%s/netd.sock", u->place.run);
    if (access(path, F_OK) < 0)
        return 0;
    u->internet = true; /* for as long as it takes to remove it */
    int rc = program_find("netd", u->netd_path, e);
    if (rc == 0)
        rc = open_log(u, "netd", &u->netd_log_fd, e);
    if (rc == 0)
        rc = net_forward_look(&u->forwarding, e);
    if (rc == 0) {
        make_netd_command_line(u);
        stop_netd(u, true);
        (void)unlink(path);
    }
    u->internet = false;
    u->netd = (struct child){ 0 };
    return rc;
}

/* netd, with its table in place; then, and only then, forwarding. */
static int bring_up_netd(struct up *u, struct err *e)
{
    if (!u->internet)
        return remove_old_networks(u, e);
    int rc = bring_up(u, &u->netd, netd_answers, e);
    if (rc == 0)
        rc = bring_up(u, &u->tlsd, tlsd_answers, e);
    if (rc == 0)
        rc = net_forward_on(&u->forwarding, e);
    if (rc < 0)
        return rc;
    say("netd          ready (process %d, uid %u)%s", u->netd.pid, NETD_UID,
        !u->forwarding.turned_on ? ""
                                 : "; turned net.ipv4.ip_forward on, for sandboxes only, until "
                                   "the instance ends");
    return 0;
}

static int run_instance(struct up *u)
{
    struct err e;
    int rc = prepare(u, &e);

    if (rc < 0) {
        if (u->lock_fd >= 0) {
            state_dir_clean_run(&u->place); /* ours, and nothing runs yet */
            state_dir_forget_empty(&u->place);
        }
        return cli_fail(&e, hint(&e));
    }
    make_command_lines(u);
    make_netd_command_line(u);
    make_tlsd_command_line(u);
    make_recorder_command_line(u);
    make_shipper_command_line(u);
    if (u->record)
        rc = bring_up(u, &u->recorder, recorder_answers, &e);
    if (rc == 0 && ships(u)) /* nobody waits for it */
        rc = child_start(&u->shipper, clock_mono_ns(), &e);
    if (rc == 0)
        rc = bring_up(u, &u->warden, warden_answers, &e);
    if (rc == 0) {
        say("warden        ready (process %d, at most %u sandboxes)", u->warden.pid,
            (unsigned)u->max_sandboxes);
        rc = bring_up_netd(u, &e);
    }
    if (rc == 0)
        rc = bring_up(u, &u->api, api_answers, &e);
    if (rc == 0)
        rc = state_dir_write_url(&u->place, u->url, &e);
    if (rc == 0) {
        say("e2b-sandbox   ready (process %d, uid %u) on %s", u->api.pid, API_UID, u->url);
        warn_if_no_template(u);
        print_environment(u);
        explicit_bzero(u->key, sizeof u->key);
        tell_systemd("READY=1");
        tell(u, AUDIT_CONFIG_LOADED,
             "version " FIREBREAK_VERSION ", listen %s, internet %s, at most %u sandboxes",
             u->place.listen, u->internet ? "allow" : "deny", (unsigned)u->max_sandboxes);
        tell(u, AUDIT_DAEMON_STARTED, "warden, e2b-sandbox%s%s", u->internet ? ", netd" : "",
             ships(u) ? ", shipper" : "");
        u->has_served = true;
        supervise(u);
    }
    int status = rc == 0 || u->stop_signal ? CLI_OK : cli_fail(&e, hint(&e));
    int stopped = stop(u);
    return status == CLI_OK ? stopped : status;
}

static int choose_uids(struct up *u)
{
    bool is_default = strcmp(u->place.instance, "default") == 0;

    if (u->uid_base == 0 && !is_default && u->max_sandboxes > MAX_SANDBOXES_NAMED) {
        (void)cli_usage_error(&cmd_up,
                              "more than %u sandboxes of instance '%s' need a range of host "
                              "uids of their own: give --uid-base",
                              MAX_SANDBOXES_NAMED, u->place.instance);
        return -EINVAL;
    }
    if (u->uid_base == 0)
        u->uid_base = place_uid_base(u->place.instance);
    if (u->uid_base + u->max_sandboxes * 65536 <= UINT32_MAX)
        return 0;
    (void)cli_usage_error(&cmd_up, "%llu sandboxes do not fit above --uid-base %llu",
                          (unsigned long long)u->max_sandboxes,
                          (unsigned long long)u->uid_base);
    return -EINVAL;
}

/* Options that a service takes as they are: it checks their values. */
static const struct handed_on {
    const char *option; /* with its "--" */
    enum service to;
    const char *as; /* its name there if that is another one */
} handed_on[] = {
    { "--domain", API, NULL },
    { "--host", API, NULL },
    { "--max-timeout", API, NULL },
    { "--pids", API, NULL },
    { "--log-level", API, NULL },
    { "--conns-per-sandbox", API, NULL },
    { "--pool-max", API, NULL },
    { "--pool-memory", API, NULL },
    { "--warm", API, NULL },
    { "--total-memory", WARDEN, NULL },
    { "--total-pids", WARDEN, NULL },
    { "--reserve-memory", WARDEN, NULL },
    { "--head-every", RECORDER, NULL },
    { "--loki", SHIPPER, NULL },
    { "--loki-tenant", SHIPPER, "--tenant" },
    { "--net-range", NETD, "--range" },
    { "--net-dns", NETD, "--dns" },
    { "--net-conns", NETD, "--conns" },
    { "--net-bytes", NETD, "--bytes" },
    { "--net-ca", TLSD, "--ca" },
};

static int hand_on(struct up *u, const struct handed_on *h, char *value)
{
    struct extra *x = &u->extra[h->to];

    if (x->n + 2 >= EXTRA_MAX)
        return cli_usage_error(&cmd_up, "too many options for one service: at most %u",
                               EXTRA_MAX / 2 - 1);
    x->word[x->n++] = arg(h->as ? h->as : h->option);
    x->word[x->n++] = value;
    return 0;
}

enum {
    OPT_KEEP = 256,
    OPT_MAX,
    OPT_LOG_DIR,
    OPT_UID_BASE,
    OPT_INTERNET,
    OPT_RECORD,
    OPT_HANDED_ON
};

static const struct option own_options[] = {
    { "listen", required_argument, NULL, PLACE_LISTEN },
    { "keep", no_argument, NULL, OPT_KEEP },
    { "max-sandboxes", required_argument, NULL, OPT_MAX },
    { "uid-base", required_argument, NULL, OPT_UID_BASE },
    { "log-dir", required_argument, NULL, OPT_LOG_DIR },
    { "internet", required_argument, NULL, OPT_INTERNET },
    { "record", required_argument, NULL, OPT_RECORD },
    PLACE_OPTIONS,
    { "help", no_argument, NULL, 'h' },
};

/* Returns 0, or an exit status after saying what is wrong. */
static int take_option(struct up *u, int o, char *value)
{
    const uint64_t last_base = UINT32_MAX - 65536ULL;

    if (o >= OPT_HANDED_ON && o < OPT_HANDED_ON + (int)ARRAY_LEN(handed_on))
        return hand_on(u, &handed_on[o - OPT_HANDED_ON], value);
    if (o == OPT_KEEP)
        u->keep = true;
    else if (o == OPT_LOG_DIR)
        u->log_dir = value;
    else if (o == OPT_INTERNET && (strcmp(value, "allow") == 0 || strcmp(value, "deny") == 0))
        u->internet = strcmp(value, "allow") == 0;
    else if (o == OPT_INTERNET)
        return cli_usage_error(&cmd_up, "--internet takes allow or deny, not '%s'", value);
    else if (o == OPT_RECORD && (strcmp(value, "on") == 0 || strcmp(value, "off") == 0))
        u->record = strcmp(value, "on") == 0;
    else if (o == OPT_RECORD)
        return cli_usage_error(&cmd_up, "--record takes on or off, not '%s'", value);
    else if (o == OPT_MAX &&
             num_parse_u64(str_from(value), 1, MAX_SANDBOXES, &u->max_sandboxes) < 0)
        return cli_usage_error(&cmd_up, "--max-sandboxes takes 1 to %u, not '%s'",
                               MAX_SANDBOXES, value);
    else if (o == OPT_UID_BASE &&
             num_parse_u64(str_from(value), 65536, last_base, &u->uid_base) < 0)
        return cli_usage_error(
            &cmd_up,
            "--uid-base takes the first of the sandboxes' host uids, 65536 to "
            "%llu, not '%s'",
            (unsigned long long)last_base, value);
    else
        (void)place_option(&u->place, o, value);
    return 0;
}

static int read_options(struct up *u, int argc, char **argv)
{
    struct option options[ARRAY_LEN(own_options) + ARRAY_LEN(handed_on) + 1] = { 0 };
    struct err e;
    int o;

    memcpy(options, own_options, sizeof own_options);
    for (size_t i = 0; i < ARRAY_LEN(handed_on); i++)
        options[ARRAY_LEN(own_options) + i] =
            (struct option){ handed_on[i].option + strlen("--"), required_argument, NULL,
                             OPT_HANDED_ON + (int)i };
    while ((o = cli_next_option(&cmd_up, argc, argv, "", options)) >= 0) {
        int bad = take_option(u, o, optarg);
        if (bad != 0)
            return bad;
    }
    int ended = cli_options_ended(o);
    if (ended >= 0)
        return ended;
    if (optind < argc)
        return cli_usage_error(&cmd_up, "unexpected argument '%s'", argv[optind]);
    if (place_resolve(&u->place, &e) < 0 || parse_listen(u, &e) < 0)
        return cli_usage_error(&cmd_up, "%s", e.text);
    return -1;
}

static int up_run(int argc, char **argv)
{
    static struct up
        u; /* too large for the stack; used by this function and those it calls only */
    struct err e;

    u = (struct up){ .max_sandboxes = 64,
                     .record = true,
                     .lock_fd = -1,
                     .signal_fd = -1,
                     .record_fd = { -1, -1 },
                     .key_fd = -1,
                     .listen_fd = -1,
                     .forwarding.fd = -1 };
    int ended = read_options(&u, argc, argv);
    if (ended >= 0)
        return ended;
    if (choose_uids(&u) < 0)
        return CLI_USAGE;
    if (geteuid() != 0) {
        (void)err_say(&e, EPERM,
                      "up needs root: it gives each sandbox host uids, cgroups and namespaces "
                      "of its own");
        return cli_fail(
            &e,
            "run: sudo firebreak up   (the API itself runs as uid 65532 without capabilities)");
    }
    int status = run_instance(&u);
    explicit_bzero(u.key, sizeof u.key);
    return status;
}

const struct cli_command cmd_up = {
    .name = "up",
    .summary = "Start an instance in the foreground and keep it running",
    .usage = "[OPTIONS]",
    .help =
        "  --listen A:P      where the API listens (default: $FIREBREAK_LISTEN or "
        "127.0.0.1:7070);\n"
        "                    port 0 takes a free one\n"
        "  --max-sandboxes N at most N at once (default: 64, at most 4096)\n"
        "  --uid-base N      first host uid of the sandboxes, each takes 65536 (default: "
        "268435456,\n"
        "                    for another instance than \"default\" one that its name gives)\n"
        "  --total-memory MIB  what all sandboxes together may use (default 0: no cap)\n"
        "  --total-pids N    processes of all sandboxes together (default 0: no cap)\n"
        "  --reserve-memory MIB  refuse a sandbox (503) that would leave the host less "
        "(default 256)\n"
        "  --pool-max N      hold up to N sandboxes ready ahead of demand (default: 16; 0: "
        "none)\n"
        "  --pool-memory MIB what those may take together (default: 64)\n"
        "  --warm WHAT       what waits in those: python3 (default) or none\n"
        "  --keep            leave the sandboxes running at the end; a later 'up' takes "
        "them over\n"
        "  --internet WORD   'allow': sandboxes have a network, as far as their policy goes; "
        "starts netd.\n"
        "                    'deny' (the default): loopback only, whatever is asked for\n"
        "  --record on|off   record what happens, and refuse what cannot be recorded "
        "(default: on)\n"
        "  --head-every S    seconds between the record's signed heads (default: 300)\n"
        "  --loki URL        copy the record to the Loki at http://HOST:PORT; --loki-tenant "
        "ID\n"
        "  --net-range A     first of their 1024 addresses in 198.18.0.0/15 (default: one that "
        "the\n"
        "                    instance's name gives)\n"
        "  --net-dns A       server that answers names for them (default: the first of "
        "/etc/resolv.conf)\n"
        "  --net-conns N     connections of one sandbox at once (default: 2500)\n"
        "  --net-ca FILE     further authorities that servers are checked by, where headers "
        "are "
        "set\n"
        "  --net-bytes N     bytes a second of one sandbox, each way (default: 125000000)\n"
        "  --log-dir DIR     write DIR/warden.log and so on instead of standard error\n"
        "  --domain, --host, --max-timeout, --pids, --conns-per-sandbox, --log-level\n"
        "                    are handed to the API: see e2b-sandbox(8)\n" PLACE_HELP
        "\nPrints what a client must export. SIGINT (Ctrl-C) "
        "and SIGTERM stop everything in order.\n",
    .run = up_run,
};
