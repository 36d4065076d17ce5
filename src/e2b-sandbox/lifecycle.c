/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/lifecycle.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"
#include "codec/json.h"
#include "e2b-sandbox/audit.h"
#include "e2b-sandbox/monitor.h"
#include "e2b-sandbox/network.h"
#include "e2b-sandbox/pool.h"
#include "e2b-sandbox/revocation.h"
#include "http/client.h"
#include "ipc/netd_proto.h"

#define SPAWN_LIMIT_NS (20 * NS_PER_S) /* the warden itself gives up after 10 s */
#define KILL_LIMIT_NS  (20 * NS_PER_S)
#define INIT_LIMIT_NS  (10 * NS_PER_S)
#define TOKEN_LIMIT_NS (5 * NS_PER_S)
#define INIT_MAX       (4u << 20) /* bytes of the body of /init: the largest environment, escaped */
#define RETRY_SOON     "Retry-After: 1\r\n"
#define RETRY_LATER    "Retry-After: 5\r\n"

#define DISK_BYTES_PER_INODE 4096u
#define INODES_MIN           1024u
#define INODES_MAX           (16u << 20)

static void say(struct failure *f, unsigned status, const char *error_code, const char *fmt,
                ...) __attribute__((format(printf, 4, 5)));

static void say(struct failure *f, unsigned status, const char *error_code, const char *fmt,
                ...)
{
    va_list ap;

    *f = (struct failure){ .status = status, .error_code = error_code };
    va_start(ap, fmt);
    (void)vsnprintf(f->message, sizeof f->message, fmt, ap); /* a longer one is cut */
    va_end(ap);
}

void failure_not_found(struct failure *f, const char *id)
{
    say(f, 404, NULL, "Sandbox \"%.64s\" doesn't exist or you don't have access to it", id);
}

static void say_unavailable(struct failure *f)
{
    say(f, 503, "sandbox_supervisor_unavailable",
        "the supervisor of sandboxes (warden) cannot be reached just now; try again in a "
        "second");
    f->headers = RETRY_SOON;
}

static const char *why_text(int rc)
{
    const char *text = strerrordesc_np(-rc);
    return text ? text : "unknown error";
}

/* The whole story of a failed start, in the terms of the answer. */
static void say_start_failed(struct failure *f, const char *step, const char *why)
{
    say(f, 500, "sandbox_create_failed", "could not start the sandbox: %s: %s", step, why);
}

/* The image is at fault: which one, and what helps. */
static void add_advice(struct failure *f, const char *template)
{
    size_t n = strlen(f->message);

    (void)snprintf(f->message + n, sizeof f->message - n,
                   " (template '%.64s': build it again with firebreak template build --force)",
                   template);
}

uint32_t lifecycle_max_sandboxes(struct app *a)
{
    uint32_t theirs = warden_max_sandboxes(a->warden);
    return theirs > 0 && theirs < a->config.max_sandboxes ? theirs : a->config.max_sandboxes;
}

/* By the warden's look at the kernel's numbers, not by counting. */
static void say_no_memory(struct failure *f, int rc)
{
    if (rc == -EDQUOT)
        say(f, 429, "sandbox_capacity_unavailable",
            "the sandboxes that run use all the memory that this server may give them: end "
            "one, "
            "or start the server with a larger --total-memory");
    else
        say(f, 503, "sandbox_capacity_unavailable",
            "the host has too little memory available for another sandbox just now; try again "
            "in a few seconds");
    f->headers = RETRY_LATER;
}

static void say_full(struct app *a, struct failure *f)
{
    say(f, 429, "sandbox_capacity_unavailable",
        "all %u sandboxes that this server may run at once are in use: end one, or start the "
        "server with a larger "
        "--max-sandboxes",
        lifecycle_max_sandboxes(a));
    f->headers = RETRY_LATER;
}

/* --- the end --- */

void lifecycle_ended_with(struct app *a, struct sandbox *s, const struct warden_msg *m)
{
    sandbox_add_counts(s, m->oom_kills, m->tripwires);
    lifecycle_ended(a, s, m->cause < CAUSE_MAX ? (enum sandbox_cause)m->cause : CAUSE_UNKNOWN);
}

void lifecycle_ended(struct app *a, struct sandbox *s, enum sandbox_cause cause)
{
    struct sandbox_counts counts;
    struct err e;

    if (!fleet_remove(a->fleet, s))
        return;
    network_forget(a, s);
    (void)atomic_fetch_add(&a->metrics.ended[cause], 1);
    counts = sandbox_counts(s);
    (void)atomic_fetch_add(&a->metrics.oom_kills, counts.oom_kills);
    (void)atomic_fetch_add(&a->metrics.tripwires, counts.tripwires);
    log_event(sandbox_cause_is_normal(cause) ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "sandbox_ended",
              "sandbox=%s cause=%s oom_kills=%llu tripwires=%llu", s->facts.id.text,
              sandbox_cause_text(cause), (unsigned long long)counts.oom_kills,
              (unsigned long long)counts.tripwires);
    if (cause != CAUSE_START_FAILED) /* told by who asked for it */
        audit_ended(a, s, cause);
    /* A row that cannot be written now is put right by the reconciler: no such sandbox is listed by the warden. */
    if (registry_set_ended(a->registry, &s->facts.id, sandbox_cause_text(cause),
                           clock_real_ns(), &e) < 0)
        log_error("registry_failed", "sandbox=%s err=\"%s\"", s->facts.id.text, e.text);
}

/* Ends one of which nobody may hear any more. What the warden cannot be told now, the reconciler tells it later: the sandbox
 * is in no list of ours. */
static void destroy(struct app *a, struct sandbox *s)
{
    struct warden_msg m = { .type = WARDEN_KILL, .id = s->facts.id };

    lifecycle_ended(a, s, CAUSE_START_FAILED);
    (void)warden_call(a->warden, &m, NULL, KILL_LIMIT_NS);
}

int lifecycle_kill(struct app *a, struct sandbox *s, struct failure *f)
{
    struct warden_msg m = { .type = WARDEN_KILL, .id = s->facts.id };

    if (!fleet_stop(a->fleet, s)) {
        failure_not_found(f, s->facts.id.text);
        return -1;
    }
    struct monitor_stats last;
    if (monitor_stats(s, a->warden, &last) == 0) /* what it has counted dies with it */
        sandbox_add_counts(s, last.oom_kills, last.tripwires);
    int rc = warden_call(a->warden, &m, NULL, KILL_LIMIT_NS);
    if (rc == 0 && m.status < 0 && m.status != -ENOENT)
        rc = m.status;
    /* Without the warden its own monitor can end it; the next warden sweeps up. */
    if (rc == -ENOTCONN)
        rc = monitor_kill(s, a->warden);
    if (rc == 0 || rc == -ENOENT) {
        sandbox_add_counts(s, m.oom_kills, m.tripwires);
        lifecycle_ended(a, s, CAUSE_KILLED);
        return 0;
    }
    fleet_unstop(a->fleet, s);
    log_error("sandbox_kill_failed", "sandbox=%s err=%d", s->facts.id.text, -rc);
    if (rc == -ENOTCONN)
        say_unavailable(f);
    else
        say(f, 500, "internal_server_error", "could not end the sandbox: %s", why_text(rc));
    return -1;
}

/* --- the deadline --- */

/* The monitor keeps time on CLOCK_BOOTTIME, which nobody sets. 0 is "at once". */
static uint64_t boot_deadline(uint64_t end_ns, uint64_t real_now_ns)
{
    return end_ns > real_now_ns ? clock_boot_ns() + (end_ns - real_now_ns) : 0;
}

static int change_end(struct app *a, struct sandbox *s, enum end_change how, uint32_t seconds,
                      struct failure *f)
{
    struct sandbox_now look = sandbox_look(s);
    uint64_t now = clock_real_ns();
    uint64_t cap = look.started_ns + a->config.max_timeout_s * NS_PER_S;
    uint64_t end = now + seconds * NS_PER_S;
    struct err e;

    if (now >= cap) {
        say(f, 400, NULL,
            "field 'timeout': the sandbox has reached its longest life of %u seconds",
            a->config.max_timeout_s);
        return -1;
    }
    if (end > cap)
        end = cap;
    if (how == END_EXTEND && end <= look.end_ns)
        return 0;
    int rc = monitor_set_deadline(s, a->warden, boot_deadline(end, now));
    if (rc == -ENOENT) {
        failure_not_found(f, s->facts.id.text);
        return -1;
    }
    if (rc < 0) {
        log_error("sandbox_deadline_failed", "sandbox=%s err=%d", s->facts.id.text, -rc);
        say_unavailable(f);
        return -1;
    }
    sandbox_set_end(s, end); /* now it is so, whatever the disk says */
    if (registry_set_end(a->registry, &s->facts.id, end, &e) < 0) {
        log_error("registry_failed", "sandbox=%s err=\"%s\"", s->facts.id.text, e.text);
        say(f, 500, "internal_server_error",
            "the new end could not be stored; it holds until the server restarts");
        return -1;
    }
    return 0;
}

int lifecycle_change_end(struct app *a, struct sandbox *s, enum end_change how,
                         uint32_t seconds, struct failure *f)
{
    (void)pthread_mutex_lock(&s->change_lock);
    int rc = change_end(a, s, how, seconds, f);
    (void)pthread_mutex_unlock(&s->change_lock);
    return rc;
}

/* --- create, step by step. Each returns 0, or -1 with *f and what it made undone. --- */

static struct sandbox *make(const struct principal *who, const struct create_request *r,
                            const struct template *t, struct failure *f)
{
    AUTO_BUF struct buf metadata = BUF_INIT(2u << 20); /* 64 pairs of 4 KiB, escaped */
    struct sandbox_facts facts = { .cpu_count = t->cpu_count,
                                   .memory_mb = t->memory_mb,
                                   .disk_mb = t->disk_mb,
                                   .caps = who->caps };
    struct sandbox *s = NULL;

    facts.caps.set &= ~(unsigned)CAP_ADMIN; /* that is about no sandbox */
    memcpy(facts.owner, who->owner, sizeof facts.owner);
    facts.told[0] = revocation_told(who);
    facts.n_told = 1;

    facts.id.text[0] = 'i';
    rand_id(facts.id.text + 1, SANDBOX_ID_LEN - 1);
    (void)str_copy(str_from(t->name), facts.template,
                   sizeof facts.template); /* the same size */
    if (r->secure)
        rand_hex(facts.token, SANDBOX_TOKEN_MAX / 2);
    if (r->metadata)
        (void)json_write(&metadata, r->metadata); /* failing shows in buf_ok */
    else
        buf_add_cstr(&metadata, "{}");
    if (buf_ok(&metadata))
        s = sandbox_new(&facts, buf_cstr(&metadata));
    explicit_bzero(facts.token, sizeof facts.token);
    if (!s)
        say(f, 500, "internal_server_error", "out of memory");
    return s;
}

static int admit(struct app *a, struct sandbox *s, struct failure *f)
{
    struct err e;

    if (fleet_add(a->fleet, s, lifecycle_max_sandboxes(a)) <
        0) { /* -EEXIST would be 98 random bits twice */
        say_full(a, f);
        return -1;
    }
    if (registry_insert(a->registry, &s->facts, s->metadata_text, clock_real_ns(), s->end_ns,
                        &e) < 0) {
        log_error("registry_failed", "sandbox=%s err=\"%s\"", s->facts.id.text, e.text);
        say_start_failed(f, "store it",
                         e.code == ENOSPC ? "no space left on the disk"
                                          : "the database failed");
        return -1;
    }
    return 0;
}

static struct sandbox_limits limits_of(const struct app *a, const struct template *t)
{
    uint64_t disk = (uint64_t)t->disk_mb << 20;
    uint64_t inodes = disk / DISK_BYTES_PER_INODE;

    return (struct sandbox_limits){
        .memory_bytes = (uint64_t)t->memory_mb << 20,
        .disk_bytes = disk,
        .disk_inodes = inodes < INODES_MIN   ? INODES_MIN
                       : inodes > INODES_MAX ? INODES_MAX
                                             : inodes,
        .cpu_millis = t->cpu_count * 1000,
        .pids = a->config.pids,
    };
}

static struct sandbox_policy policy_of(const struct template *t)
{
    return (struct sandbox_policy){
        .profile = t->profile,
        .flags = (t->user_namespaces ? SANDBOX_USER_NAMESPACES : 0) |
                 (t->disk_file ? SANDBOX_DISK_FILE : 0),
        .cpu_shares = t->cpu_shares,
        .io_bytes_per_s = (uint64_t)t->io_mib_per_s << 20,
    };
}

static bool is_full(const struct warden_msg *m)
{
    return m->step <= STEP_ADMIT && (m->status == -EAGAIN || m->status == -ENOSPC);
}

static bool lacks_memory(const struct warden_msg *m)
{
    return m->step <= STEP_ADMIT && (m->status == -EDQUOT || m->status == -ENOMEM);
}

/* Of the host's own file systems: for the record, or for the writable layer on disk. */
static bool lacks_disk(const struct warden_msg *m)
{
    return m->status == -ENOSPC && (m->step == STEP_DISK_LAYER || m->step == STEP_RECORD);
}

static void say_no_disk(struct failure *f, const struct warden_msg *m)
{
    say(f, 503, "sandbox_capacity_unavailable",
        "the host has too little space on disk for another sandbox just now (%s): end one, or "
        "make room",
        sandbox_step_text((enum sandbox_step)m->step));
    f->headers = RETRY_LATER;
}

static int spawn(struct app *a, struct sandbox *s, const struct template *t, struct failure *f)
{
    struct warden_msg m = { .type = WARDEN_SPAWN,
                            .id = s->facts.id,
                            .limits = limits_of(a, t),
                            .policy = policy_of(t) };
    AUTO_CLOSE int fd = -1;

    memcpy(m.image.byte, t->digest, sizeof m.image.byte);
    m.deadline_ns = boot_deadline(s->end_ns, clock_real_ns());
    struct pool *pool = atomic_load(&a->pool);
    const struct warden_msg ask = m;
    int rc;
    pool_begin_start(pool);
    do { /* sandboxes that nobody asked for do not stand in the way of one that somebody does */
        m = ask;
        rc = warden_call(a->warden, &m, &fd, SPAWN_LIMIT_NS);
    } while (rc == 0 && (is_full(&m) || lacks_memory(&m)) && pool_make_room(pool));
    pool_end_start(pool);
    if (rc == -ENOTCONN) {
        say_unavailable(f);
    } else if (rc < 0) {
        say_start_failed(f, sandbox_step_text(STEP_TIMEOUT), why_text(rc));
    } else if (is_full(&m)) {
        say_full(a, f);
    } else if (lacks_memory(&m)) {
        say_no_memory(f, m.status);
    } else if (lacks_disk(&m)) {
        say_no_disk(f, &m);
    } else if (m.status != 0 || fd < 0) {
        say_start_failed(f,
                         m.step < STEP_MAX ? sandbox_step_text((enum sandbox_step)m.step)
                                           : "an unknown step",
                         why_text(m.status));
        if (m.step == STEP_IMAGE || m.step == STEP_IDMAP_MOUNT)
            add_advice(f, t->name);
    } else {
        sandbox_set_host(s, &m);
        monitor_take(s, fd_steal(&fd));
        return 0;
    }
    return -1;
}

static void add_field(struct buf *b, const char *name, const char *value)
{
    if (!*value)
        return;
    buf_addf(b, ",\"%s\":", name);
    json_write_str(b, str_from(value));
}

/* The template's environment, then that of the request, which wins. */
static void add_env(struct buf *b, const json_t *template_env, const json_t *env)
{
    const char *separator = "", *key;
    json_t *value;

    buf_add_cstr(b, "\"envVars\":{");
    json_object_foreach((json_t *)(uintptr_t)template_env, key, value)
    {
        if (json_object_get(env, key))
            continue;
        buf_add_cstr(b, separator);
        json_write_str(b, str_from(key));
        buf_add_char(b, ':');
        json_write_str(b, (struct str){ json_string_value(value), json_string_length(value) });
        separator = ",";
    }
    json_object_foreach((json_t *)(uintptr_t)env, key, value)
    {
        buf_add_cstr(b, separator);
        json_write_str(b, str_from(key));
        buf_add_char(b, ':');
        json_write_str(b, (struct str){ json_string_value(value), json_string_length(value) });
        separator = ",";
    }
    buf_add_char(b, '}');
}

#define INIT_HEADERS "Content-Type: application/json\r\nConnection: close\r\n"

static int send_init(struct http_client *c, const char *headers, const struct buf *body,
                     struct err *e)
{
    return http_client_send(c, "POST", "/init", "localhost", headers, buf_str(body), e);
}

static int read_init_answer(struct http_client *c, struct err *e)
{
    AUTO_BUF struct buf answer = BUF_INIT(4096);
    struct err ignored;
    int rc = http_client_head(c, false, e);

    if (rc == 0 && (c->head.status < 200 || c->head.status > 299)) {
        char quoted[LOG_QUOTE_MAX];
        (void)http_client_body(
            c, &answer, &ignored); /* what can be had of it is good for the message only */
        rc = err_say(e, EPROTO, "it answered %u %s", c->head.status,
                     log_quote(buf_str(&answer), quoted));
    }
    return rc;
}

static int ask_agent(int fd, const char *headers, const struct buf *body, uint64_t limit_ns,
                     struct err *e)
{
    struct http_client c;

    http_client_init(&c, fd, limit_ns);
    int rc = send_init(&c, headers, body, e);
    if (rc == 0)
        rc = read_init_answer(&c, e);
    http_client_fini(&c);
    return rc;
}

/* To an envd that has a token already. */
static int ask_known_agent(int fd, struct sandbox *s, const struct buf *body, struct err *e)
{
    char token[SANDBOX_TOKEN_MAX + 1], headers[SANDBOX_TOKEN_MAX + 128];

    sandbox_token(s, token);
    (void)snprintf(headers, sizeof headers, "%s%s%s" INIT_HEADERS,
                   token[0] ? "X-Access-Token: " : "", token, token[0] ? "\r\n" : "");
    int rc = ask_agent(fd, headers, body, TOKEN_LIMIT_NS, e);
    explicit_bzero(headers, sizeof headers);
    explicit_bzero(token, sizeof token);
    return rc;
}

int lifecycle_trust(struct app *a, struct sandbox *s, struct failure *f)
{
    AUTO_BUF struct buf body = BUF_INIT(INIT_MAX);
    struct netd_msg m;
    struct err e = { 0 };
    int fd = -1, rc = network_authority(a, s, &m, f);

    if (rc <= 0)
        return rc;
    buf_addf(&body, "{\"caHash\":%u,\"caBundle\":", m.ca_hash);
    json_write_str(&body, (struct str){ m.ca, m.ca_n });
    buf_add_char(&body, '}');
    rc = buf_ok(&body) ? monitor_connect_port(s, a->warden, MONITOR_AGENT_PORT, &fd)
                       : -body.failed;
    if (rc == 0)
        rc = ask_known_agent(fd, s, &body, &e);
    else
        (void)err_set(&e, -rc, "connect to envd");
    if (rc < 0) {
        log_error("network_failed", "sandbox=%s err=\"%s\"", s->facts.id.text, e.text);
        say(f, 500, "network_failed",
            "the sandbox could not be told of the authority for its rules: %s", e.text);
        return -1;
    }
    network_authority_known(s);
    return 0;
}

static void write_init(const struct sandbox *s, const struct create_request *r,
                       const struct template *t, struct buf *body)
{
    buf_add_char(body, '{');
    add_env(body, t->env, r->env);
    add_field(body, "accessToken", s->facts.token);
    add_field(body, "defaultUser", t->user);
    add_field(body, "defaultWorkdir", t->workdir);
    add_field(body, "sandboxId", s->facts.id.text);
    add_field(body, "templateId", t->name);
    buf_add_char(body, '}');
}

static void wipe(struct buf *body)
{
    if (body->p)
        explicit_bzero(body->p, body->n); /* it held the token */
}

static int init_agent(struct app *a, struct sandbox *s, const struct create_request *r,
                      const struct template *t, struct failure *f)
{
    AUTO_BUF struct buf body = BUF_INIT(INIT_MAX);
    struct err e = { 0 };
    int fd = -1;

    write_init(s, r, t, &body);
    int rc = buf_ok(&body) ? monitor_connect_port(s, a->warden, MONITOR_AGENT_PORT, &fd)
                           : -body.failed;
    if (rc < 0)
        say_start_failed(f, "connect to envd", why_text(rc));
    else if ((rc = ask_agent(fd, INIT_HEADERS, &body, INIT_LIMIT_NS, &e)) < 0)
        say_start_failed(f, "set up envd", e.text);
    wipe(&body);
    return rc < 0 ? -1 : 0;
}

/* envd takes another token from whoever brings the one that it has. */
static int tell_token(struct app *a, struct sandbox *s, const char *token, struct err *e)
{
    AUTO_BUF struct buf body = BUF_INIT(256);
    int fd = -1;

    buf_addf(&body, "{\"accessToken\":\"%s\"}", token);
    int rc = buf_ok(&body) ? monitor_connect_port(s, a->warden, MONITOR_AGENT_PORT, &fd)
                           : -body.failed;
    if (rc < 0)
        (void)err_set(e, -rc, "connect to envd");
    else
        rc = ask_known_agent(fd, s, &body, e);
    wipe(&body);
    return rc;
}

int lifecycle_change_token(struct app *a, struct sandbox *s, struct err *e)
{
    char token[SANDBOX_TOKEN_MAX + 1];

    rand_hex(token, SANDBOX_TOKEN_MAX / 2);
    int rc = tell_token(a, s, token, e);
    if (rc == 0) {
        sandbox_set_token(s, token); /* now it is so, whatever the disk says */
        sandbox_set_told(s, NULL, 0);
        rc = registry_set_token(a->registry, &s->facts.id, token, NULL, 0, e);
    }
    explicit_bzero(token, sizeof token);
    return rc;
}

/* Under change_lock: its token does not change before it is stored. */
static int publish_locked(struct app *a, struct sandbox *s, struct failure *f)
{
    struct err e;

    if (!fleet_start(a->fleet, s, clock_real_ns(), clock_mono_ns())) {
        say_start_failed(f, "set up envd", "the sandbox ended meanwhile");
        return -1;
    }
    if (registry_set_running(a->registry, &s->facts.id, sandbox_look(s).started_ns, &e) < 0) {
        log_error("registry_failed", "sandbox=%s err=\"%s\"", s->facts.id.text, e.text);
        say_start_failed(f, "store it",
                         e.code == ENOSPC ? "no space left on the disk"
                                          : "the database failed");
        return -1;
    }
    return 0;
}

static int publish(struct app *a, struct sandbox *s, struct failure *f)
{
    (void)pthread_mutex_lock(&s->change_lock);
    int rc = publish_locked(a, s, f);
    (void)pthread_mutex_unlock(&s->change_lock);
    return rc;
}

static int create_steps(struct app *a, struct sandbox *s, struct create_request *r,
                        const struct template *t, struct failure *f)
{
    char quoted[LOG_QUOTE_MAX];

    if (admit(a, s, f) < 0) {
        if (fleet_remove(a->fleet, s)) /* in, but not stored */
            (void)atomic_fetch_add(&a->metrics.create_failed, 1);
        return -1;
    }
    if (spawn(a, s, t, f) < 0 || network_give(a, s, &r->network, f) < 0 ||
        init_agent(a, s, r, t, f) < 0 || lifecycle_trust(a, s, f) < 0 || publish(a, s, f) < 0) {
        (void)atomic_fetch_add(&a->metrics.create_failed, 1);
        log_warn("sandbox_create_failed", "sandbox=%s status=%u err=%s", s->facts.id.text,
                 f->status, log_quote(str_from(f->message), quoted));
        destroy(a, s);
        return -1;
    }
    return 0;
}

/* --- create from the pool. 1: it is done; 0: the pool has none that can be used; -1 with *f. --- */

/* Makes an entry that client's, for good: token, environment, deadline. The monitor is told while envd reads. */
static int specialise(struct app *a, struct sandbox *s, int *agent_fd,
                      const struct create_request *r, const struct template *t, struct err *e)
{
    AUTO_BUF struct buf body = BUF_INIT(INIT_MAX);
    struct http_client c;

    write_init(s, r, t, &body);
    if (!buf_ok(&body))
        return err_set(e, body.failed, "write the body of /init");
    http_client_init(&c, fd_steal(agent_fd), INIT_LIMIT_NS);
    int rc = send_init(&c, INIT_HEADERS, &body, e);
    wipe(&body);
    if (rc == 0) {
        int told =
            monitor_set_deadline(s, a->warden, boot_deadline(s->end_ns, clock_real_ns()));
        rc = read_init_answer(&c, e);
        if (rc == 0 && told < 0)
            rc = err_set(e, -told, "tell the monitor its deadline");
    }
    http_client_fini(&c);
    return rc;
}

/* Under change_lock: its token does not change before it is stored. */
static int publish_pooled_locked(struct app *a, struct sandbox *s, struct failure *f)
{
    struct err e;

    if (!fleet_start(a->fleet, s, clock_real_ns(), clock_mono_ns())) {
        say_start_failed(f, "set up envd", "the sandbox ended meanwhile");
        return -1;
    }
    if (registry_insert_running(a->registry, &s->facts, s->metadata_text,
                                sandbox_look(s).started_ns, s->end_ns, &e) < 0) {
        log_error("registry_failed", "sandbox=%s err=\"%s\"", s->facts.id.text, e.text);
        say_start_failed(f, "store it",
                         e.code == ENOSPC ? "no space left on the disk"
                                          : "the database failed");
        return -1;
    }
    return 0;
}

static int publish_pooled(struct app *a, struct sandbox *s, struct failure *f)
{
    (void)pthread_mutex_lock(&s->change_lock);
    int rc = publish_pooled_locked(a, s, f);
    (void)pthread_mutex_unlock(&s->change_lock);
    return rc;
}

/* An entry that did not become a sandbox. Whatever it was told by then, nobody else gets it. */
static void drop_entry(struct app *a, struct sandbox *s)
{
    struct warden_msg m = { .type = WARDEN_KILL, .id = s->facts.id };

    (void)fleet_remove(a->fleet, s);
    (void)warden_call(a->warden, &m, NULL,
                      KILL_LIMIT_NS); /* else it is an orphan: it is in no list of ours */
}

static int use_entry(struct app *a, struct sandbox *s, struct pool_taken *got,
                     struct create_request *r, const struct template *t, struct failure *f)
{
    struct err e = { 0 };
    char quoted[LOG_QUOTE_MAX];

    s->facts.id = got->id; /* nobody else has it yet */
    if (fleet_add(a->fleet, s, lifecycle_max_sandboxes(a)) < 0) {
        pool_put_back(atomic_load(&a->pool), got);
        say_full(a, f);
        return -1;
    }
    pool_forget(atomic_load(&a->pool), got);
    sandbox_set_host(s, &got->host);
    monitor_move(s, got->monitor);
    int rc = specialise(a, s, &got->agent_fd, r, t, &e);
    pool_taken_fini(got);
    if (rc < 0) {
        log_warn("pool_entry_unusable", "sandbox=%s err=%s", s->facts.id.text,
                 log_quote(str_from(e.text), quoted));
        drop_entry(a, s);
        return 0;
    }
    if (network_give(a, s, &r->network, f) == 0 && lifecycle_trust(a, s, f) == 0 &&
        publish_pooled(a, s, f) == 0)
        return 1;
    (void)atomic_fetch_add(&a->metrics.create_failed, 1);
    log_warn("sandbox_create_failed", "sandbox=%s status=%u err=%s", s->facts.id.text,
             f->status, log_quote(str_from(f->message), quoted));
    destroy(a, s);
    return -1;
}

static int create_pooled(struct app *a, const struct principal *who, struct create_request *r,
                         const struct template *t, struct sandbox **out, struct failure *f)
{
    struct pool_key key = { .limits = limits_of(a, t), .policy = policy_of(t) };
    struct pool_taken got;

    memcpy(key.image.byte, t->digest, sizeof key.image.byte);
    if (!pool_take(atomic_load(&a->pool), &key, t, &got))
        return 0;
    AUTO_SANDBOX struct sandbox *s = make(who, r, t, f);
    if (!s) {
        pool_put_back(atomic_load(&a->pool), &got);
        return -1;
    }
    s->end_ns = clock_real_ns() + r->timeout_s * NS_PER_S;
    int rc = use_entry(a, s, &got, r, t, f);
    if (rc == 1)
        *out = ptr_steal(&s);
    return rc;
}

static int create_cold(struct app *a, const struct principal *who, struct create_request *r,
                       const struct template *t, struct sandbox **out, struct failure *f)
{
    AUTO_SANDBOX struct sandbox *s = make(who, r, t, f);

    if (!s)
        return -1;
    s->end_ns = clock_real_ns() + r->timeout_s * NS_PER_S; /* nobody else has it yet */
    if (create_steps(a, s, r, t, f) < 0)
        return -1;
    *out = ptr_steal(&s);
    return 0;
}

int lifecycle_create(struct app *a, const struct principal *who, struct create_request *r,
                     const struct template *t, struct sandbox **out, struct failure *f)
{
    uint64_t begun_ns = clock_mono_ns();

    if (network_admit(a, &who->caps, &r->network, f) < 0)
        return -1;
    int pooled = create_pooled(a, who, r, t, out, f);

    if (pooled < 0 || (pooled == 0 && create_cold(a, who, r, t, out, f) < 0))
        return -1;
    uint64_t took_ns = clock_mono_ns() - begun_ns;
    histogram_add(&a->metrics.create_time, took_ns);
    (void)atomic_fetch_add(&a->metrics.created, 1);
    log_info("sandbox_created",
             "sandbox=%s owner=%s template=%s timeout_s=%u pooled=%d us=%llu",
             (*out)->facts.id.text, (*out)->facts.owner, (*out)->facts.template, r->timeout_s,
             pooled, (unsigned long long)(took_ns / 1000));
    return 0;
}
