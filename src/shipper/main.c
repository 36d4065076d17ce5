/* SPDX-License-Identifier: Apache-2.0 */
/* shipper: copies the record to Loki. Unprivileged; one thread that may wait, since nobody waits for it. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "audit/line.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "http/client.h"
#include "ipc/ipc.h"
#include "ipc/recorder_proto.h"
#include "record/files.h"
#include "shipper/push.h"
#include "sys/filter.h"
#include "sys/landlock.h"
#include "sys/task.h"

#define STREAMS        (AUDIT_STREAMS + 1) /* and the heads */
#define BATCH_BYTES    (1u << 20)
#define LOOK_US        500000u
#define BACKOFF_MIN_NS (NS_PER_S)
#define BACKOFF_MAX_NS (60 * NS_PER_S)
#define RESOLVE_NS                                                                             \
    (300 * NS_PER_S) /* in vain for so long: end, and be started with a fresh address */
#define PLACES_MAX 8192u

static const char usage[] =
    "usage: shipper --state DIR --run DIR --loki URL [OPTIONS]\n"
    "\n"
    "Copies the record to Loki. 'firebreak up --loki URL' starts it; see shipper(8).\n"
    "  --state DIR   DIR/audit is read, DIR/ship is kept\n"
    "  --run DIR     DIR/recorder.sock is told how much waits\n"
    "  --loki URL    http://HOST:PORT[/PREFIX]\n"
    "  --tenant ID   sent as X-Scope-OrgID\n"
    "  --uid UID     user to become (default 65529)\n"
    "  --gid GID     group that may read the record (default 65530)\n"
    "  --version, --help\n";

struct shipper {
    const char *state_dir, *run_dir, *loki, *tenant;
    uid_t uid;
    gid_t gid;
    struct push_target target;
    uint16_t port;
    int audit_fd, ship_fd, recorder_fd;
    struct audit_place sent[STREAMS]; /* taken by Loki up to here */
    uint64_t sent_seq[STREAMS];
    uint64_t lost, refused;
    uint64_t begun_failing_ns; /* monotonic; 0: it goes */

    /* The batch. */
    struct push_line line[PUSH_LINES_MAX];
    struct audit_place after[PUSH_LINES_MAX]; /* where its stream stands behind each line */
    uint64_t after_seq[PUSH_LINES_MAX];
    size_t n, bytes;
};

/* --- where we are --- */

/* STATE/ship/position: "STREAM DAY PART OFFSET SEQ" a line, and "lost N". */
static void load_places(struct shipper *s)
{
    char text[PLACES_MAX + 1];
    AUTO_CLOSE int fd = openat(s->ship_fd, "position", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, PLACES_MAX);
    struct str left = { text, n > 0 ? (size_t)n : 0 }, row, word;

    while (str_cut(left, '\n', &row, &left)) {
        uint64_t v[5] = { 0 };
        size_t k = 0;
        bool more = true;
        while (more && k < ARRAY_LEN(v)) {
            more = str_cut(row, ' ', &word, &row);
            if (num_parse_u64(word, 0, UINT64_MAX, &v[k]) < 0)
                break;
            k++;
        }
        if (k == 5 && v[0] < STREAMS) {
            s->sent[v[0]] =
                (struct audit_place){ { (uint32_t)v[1], (uint32_t)v[2] }, true, v[3] };
            s->sent_seq[v[0]] = v[4];
        } else if (k == 1) {
            s->lost = v[0];
        }
    }
}

static int save_places(struct shipper *s, struct err *e)
{
    AUTO_BUF struct buf b = BUF_INIT(PLACES_MAX);
    AUTO_CLOSE int fd = openat(s->ship_fd, "position.new",
                               O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

    for (unsigned i = 0; i < STREAMS; i++)
        if (s->sent[i].is_begun)
            buf_addf(&b, "%u %u %u %llu %llu\n", i, s->sent[i].segment.day,
                     s->sent[i].segment.part, (unsigned long long)s->sent[i].offset,
                     (unsigned long long)s->sent_seq[i]);
    buf_addf(&b, "%llu\n", (unsigned long long)s->lost);
    if (fd < 0 || write(fd, b.p, b.n) != (ssize_t)b.n || fsync(fd) < 0 ||
        renameat(s->ship_fd, "position.new", s->ship_fd, "position") < 0 ||
        fsync(s->ship_fd) < 0)
        return err_set(e, errno, "remember how far the copy is");
    return 0;
}

/* --- a batch --- */

struct gathering {
    struct shipper *s;
    struct audit_place at;
};

static bool read_meta(const struct audit_seen *l, struct push_line *out, uint64_t *seq)
{
    struct audit_line line;
    struct audit_head head;

    *out = (struct push_line){ .stream = l->stream };
    *seq = 0;
    if (l->stream == AUDIT_HEADS_STREAM) {
        if (audit_head_read(l->text, &head) < 0)
            return false;
        out->real_ns = head.real_ns;
        return true;
    }
    if (audit_line_read(l->text, &line) < 0)
        return false;
    out->real_ns = line.f.real_ns;
    out->event = line.f.event;
    *seq = line.seq;
    return true;
}

static bool gather(const struct audit_seen *l, void *arg)
{
    struct gathering *g = arg;
    struct shipper *s = g->s;
    struct push_line one;
    uint64_t seq;

    if (s->n == PUSH_LINES_MAX || s->bytes + l->text.n > BATCH_BYTES)
        return false;
    if (!read_meta(l, &one, &seq)) {
        s->refused++;
        log_error("line_unreadable", "stream=%u",
                  l->stream); /* verify tells more; it stays here */
        return true;
    }
    one.text = strndup(l->text.p, l->text.n);
    if (!one.text)
        return false;
    s->after[s->n] = g->at;
    s->after_seq[s->n] = seq;
    s->line[s->n++] = one;
    s->bytes += l->text.n;
    return true;
}

static void forget_batch(struct shipper *s)
{
    for (size_t i = 0; i < s->n; i++)
        free(s->line[i].text);
    s->n = s->bytes = 0;
}

static int fill_batch(struct shipper *s, struct err *e)
{
    for (unsigned i = 0; i < STREAMS && s->n < PUSH_LINES_MAX; i++) {
        struct gathering g = { s, s->sent[i] };
        if (audit_walk(s->audit_fd, i, &g.at, gather, &g, NULL, e) < 0)
            return -e->code;
    }
    return 0;
}

/* Lines up to and with `i` are in Loki, or never will be. */
static void settle(struct shipper *s, size_t i)
{
    unsigned stream = s->line[i].stream;

    if (stream < AUDIT_STREAMS && s->sent_seq[stream] > 0 &&
        s->after_seq[i] > s->sent_seq[stream] + 1)
        s->lost += s->after_seq[i] - s->sent_seq[stream] - 1; /* purged before they were sent */
    s->sent[stream] = s->after[i];
    s->sent_seq[stream] = s->after_seq[i];
}

/* One after the other: what Loki refuses is told, and does not stop the rest. */
static enum push_result send_each(struct shipper *s, struct err *e)
{
    for (size_t i = 0; i < s->n; i++) {
        enum push_result r = push_send(&s->target, &s->line[i], 1, e);
        if (r == PUSH_LATER)
            return r;
        if (r == PUSH_REFUSED) {
            char quoted[LOG_QUOTE_MAX];
            s->refused++;
            log_error("line_refused", "stream=%u seq=%llu err=%s", s->line[i].stream,
                      (unsigned long long)s->after_seq[i],
                      log_quote(str_from(e->text), quoted));
        }
        settle(s, i);
    }
    return PUSH_TAKEN;
}

static enum push_result send_batch(struct shipper *s, struct err *e)
{
    enum push_result r = push_send(&s->target, s->line, s->n, e);

    if (r == PUSH_REFUSED)
        return send_each(s, e);
    for (size_t i = 0; r == PUSH_TAKEN && i < s->n; i++)
        settle(s, i);
    return r;
}

/* --- what waits --- */

static bool count_one(const struct audit_seen *l, void *arg)
{
    uint64_t *n = arg;
    (void)l;
    ++*n;
    return true;
}

static uint64_t backlog(struct shipper *s)
{
    uint64_t n = 0;
    struct err ignored;

    for (unsigned i = 0; i < AUDIT_STREAMS; i++) {
        struct audit_place at = s->sent[i];
        (void)audit_walk(s->audit_fd, i, &at, count_one, &n, NULL, &ignored);
    }
    return n;
}

/* It may be away; then it is told the next time. */
static void tell_recorder(struct shipper *s, uint64_t waiting)
{
    struct recorder_msg m = { .type = RECORDER_SHIPPED,
                              .version = RECORDER_VERSION,
                              .backlog = waiting,
                              .lost = s->lost + s->refused };
    struct sockaddr_un at = { .sun_family = AF_UNIX };

    if (s->recorder_fd < 0) {
        s->recorder_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void)snprintf(at.sun_path, sizeof at.sun_path, "%s/recorder.sock", s->run_dir);
        if (s->recorder_fd >= 0 &&
            connect(s->recorder_fd, (const struct sockaddr *)&at, sizeof at) < 0) {
            (void)close(s->recorder_fd);
            s->recorder_fd = -1;
        }
    }
    if (s->recorder_fd < 0)
        return;
    int rc = ipc_send(s->recorder_fd, &m, sizeof m, NULL, 0);
    while (rc == 0 && ipc_recv(s->recorder_fd, &m, sizeof m, NULL, 0, NULL) == 0)
        ; /* answers say nothing that we need */
    if (rc < 0 && rc != -EAGAIN) {
        (void)close(s->recorder_fd);
        s->recorder_fd = -1;
    }
}

/* --- the loop --- */

static volatile sig_atomic_t stop; /* set by the handler only */

static void on_term(int signal_number)
{
    (void)signal_number;
    stop = 1;
}

static void nap(uint64_t ns)
{
    for (uint64_t until_ns = clock_mono_ns() + ns; !stop && clock_mono_ns() < until_ns;)
        (void)usleep(LOOK_US / 5);
}

/* One round: true if there may be more at once. */
static bool round_of(struct shipper *s, uint64_t *wait_ns, struct err *e)
{
    char quoted[LOG_QUOTE_MAX];
    uint64_t now_ns = clock_mono_ns();
    enum push_result r = PUSH_TAKEN;

    forget_batch(s);
    if (fill_batch(s, e) < 0) {
        r = PUSH_LATER;
    } else if (s->n > 0) {
        r = send_batch(s, e);
        if (save_places(s, e) < 0)
            r = PUSH_LATER;
    }
    if (r == PUSH_TAKEN) {
        if (s->begun_failing_ns)
            log_info("loki_back", "after_s=%llu",
                     (unsigned long long)((now_ns - s->begun_failing_ns) / NS_PER_S));
        s->begun_failing_ns = 0;
        *wait_ns = BACKOFF_MIN_NS;
        return s->n > 0;
    }
    if (!s->begun_failing_ns) {
        s->begun_failing_ns = now_ns;
        log_warn("loki_unreachable", "err=%s", log_quote(str_from(e->text), quoted));
    }
    nap(*wait_ns);
    *wait_ns = *wait_ns * 2 < BACKOFF_MAX_NS ? *wait_ns * 2 : BACKOFF_MAX_NS;
    return false;
}

static int loop(struct shipper *s)
{
    uint64_t wait_ns = BACKOFF_MIN_NS;
    struct err e = { 0 };

    while (!stop) {
        bool more = round_of(s, &wait_ns, &e);
        if (more)
            continue;
        tell_recorder(s, s->begun_failing_ns ? backlog(s) : 0);
        if (s->begun_failing_ns && clock_mono_ns() - s->begun_failing_ns > RESOLVE_NS) {
            log_warn("starting_afresh", "loki=%s", s->target.host);
            return 1; /* its name may lead elsewhere by now; who watches us starts us again */
        }
        (void)usleep(LOOK_US);
    }
    return 0;
}

/* --- start --- */

static int resolve(struct shipper *s, struct err *e)
{
    char host[256], service[8];
    unsigned port;
    const struct addrinfo want = { .ai_socktype = SOCK_STREAM };
    struct addrinfo *found = NULL;

    if (http_client_parse_url(s->loki, host, &port, s->target.prefix, e) < 0)
        return -e->code;
    s->port = (uint16_t)port;
    (void)snprintf(service, sizeof service, "%u", port);
    int rc = getaddrinfo(host, service, &want, &found);
    if (rc != 0)
        return err_say(e, EHOSTUNREACH, "find '%s': %s", host, gai_strerror(rc));
    memcpy(&s->target.address, found->ai_addr, found->ai_addrlen);
    s->target.address_n = found->ai_addrlen;
    freeaddrinfo(found);
    (void)snprintf(s->target.host, sizeof s->target.host,
                   strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
    s->target.tenant = s->tenant;
    return 0;
}

static int open_dirs(struct shipper *s, struct err *e)
{
    AUTO_CLOSE int state = open(s->state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (state < 0)
        return err_set(e, errno, "open '%s'", s->state_dir);
    bool made = mkdirat(state, "ship", 0700) == 0;
    s->ship_fd = openat(state, "ship", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    s->audit_fd = openat(state, "audit", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->ship_fd < 0 || s->audit_fd < 0 ||
        (made && geteuid() == 0 && fchown(s->ship_fd, s->uid, s->gid) < 0))
        return err_set(e, errno, "open '%s/ship' and '%s/audit'", s->state_dir, s->state_dir);
    return 0;
}

static int harden(const struct shipper *s, struct err *e)
{
    const struct landlock_grant grant[] = {
        { s->audit_fd, LL_FS_READ_FILE | LL_FS_READ_DIR },
        { s->ship_fd, LL_FS_READ_FILE | LL_FS_READ_DIR | LL_FS_WRITE_FILE | LL_FS_TRUNCATE |
                          LL_FS_MAKE_REG | LL_FS_REMOVE_FILE },
    };
    const struct landlock_rules rules = { .fs = LL_FS_ALL,
                                          .net = LL_NET_BIND_TCP | LL_NET_CONNECT,
                                          .scope = LL_SCOPE_ABSTRACT | LL_SCOPE_SIGNAL,
                                          .grant = grant,
                                          .n_grants = ARRAY_LEN(grant),
                                          .connect_port = s->port };
    struct filter filter;
    int death_signal = 0;

    if (prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) < 0)
        return err_set(e, errno, "read the parent's death signal");
    if (geteuid() == 0 &&
        (task_limit_bounding(0, e) < 0 || task_set_ids(s->uid, s->gid, e) < 0))
        return -e->code;
    if (setresuid(0, 0, 0) == 0)
        return err_say(e, EPERM, "root can be had back");
    if ((death_signal && prctl(PR_SET_PDEATHSIG, (unsigned long)death_signal, 0, 0, 0) < 0) ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return err_set(e, errno, "set the process up");
    if (task_set_caps(0, e) < 0 || task_limit(RLIMIT_CORE, TASK_NO_CORE, e) < 0 ||
        task_no_new_privs(e) < 0 || landlock_restrict(&rules, e) < 0)
        return -e->code;
    filter_build(&filter, FILTER_SHIPPER);
    return filter_load(&filter, e);
}

static bool is_word(const char *s)
{
    return *s && strlen(s) < 128 &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               strlen(s);
}

static int parse_options(struct shipper *s, int argc, char **argv, struct err *e)
{
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        uint64_t id = 0;
        if (!value)
            return err_say(e, EINVAL, "%s needs a value", name);
        bool is_id = strcmp(name, "--uid") == 0 || strcmp(name, "--gid") == 0;
        if (is_id && num_parse_u64(str_from(value), 1, UINT32_MAX - 1, &id) < 0)
            return err_say(e, EINVAL, "%s cannot be '%.64s'", name, value);
        if (strcmp(name, "--uid") == 0)
            s->uid = (uid_t)id;
        else if (strcmp(name, "--gid") == 0)
            s->gid = (gid_t)id;
        else if (strcmp(name, "--state") == 0)
            s->state_dir = value;
        else if (strcmp(name, "--run") == 0)
            s->run_dir = value;
        else if (strcmp(name, "--loki") == 0)
            s->loki = value;
        else if (strcmp(name, "--tenant") == 0 && is_word(value))
            s->tenant = value;
        else
            return err_say(e, EINVAL, "unknown option or value '%.64s'; --help lists them",
                           name);
    }
    return s->state_dir && s->run_dir && s->loki
               ? 0
               : err_say(e, EINVAL, "--state, --run and --loki are needed");
}

int main(int argc, char **argv)
{
    static struct shipper s; /* too large for the stack; passed down, never global */
    const struct sigaction term = { .sa_handler = on_term };
    struct err e = { 0 };

    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return fputs(usage, stdout) < 0;
    if (argc == 2 && strcmp(argv[1], "--version") == 0)
        return puts("shipper " FIREBREAK_VERSION) < 0;
    log_init("shipper", LOG_LEVEL_INFO);
    s = (struct shipper){ .uid = 65529, .gid = 65530, .recorder_fd = -1 };
    if (parse_options(&s, argc, argv, &e) < 0) {
        (void)fprintf(stderr, "shipper: %s\n\n%s", e.text, usage);
        return 2;
    }
    if (sigaction(SIGTERM, &term, NULL) < 0 || sigaction(SIGINT, &term, NULL) < 0 ||
        signal(SIGPIPE, SIG_IGN) == SIG_ERR || resolve(&s, &e) < 0 || open_dirs(&s, &e) < 0 ||
        harden(&s, &e) < 0) {
        (void)fprintf(stderr, "shipper: %s\n", e.text);
        return 1;
    }
    load_places(&s);
    log_info("shipper_ready", "loki=%s", s.target.host);
    int status = loop(&s);
    forget_batch(&s);
    log_info("shipper_stopped", "lost=%llu refused=%llu", (unsigned long long)s.lost,
             (unsigned long long)s.refused);
    return status;
}
