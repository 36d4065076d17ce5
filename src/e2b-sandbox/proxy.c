/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/proxy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/json.h"
#include "e2b-sandbox/answer.h"
#include "e2b-sandbox/audit.h"
#include "e2b-sandbox/lifecycle.h"
#include "e2b-sandbox/monitor.h"
#include "e2b-sandbox/network.h"
#include "e2b-sandbox/routing.h"
#include "e2b-sandbox/signature.h"
#include "ipc/monitor_proto.h"

#define CONNECT_LIMIT_NS (5 * NS_PER_S)
#define TRAFFIC_TOKEN    "E2B-Traffic-Access-Token"

/* One exchange that is going on; lives from start to on_end. */
struct exchange {
    struct app *a;
    struct sandbox *s; /* a reference, and one of its conns */
    enum audit_access what;
    struct audit_who who;
    uint64_t begun_ns;
    unsigned epoch; /* of the sandbox, when it began */
};

static bool is_over(void *arg)
{
    const struct exchange *x = arg;
    return x->epoch != atomic_load(&x->s->epoch);
}

static void end_exchange(struct exchange *x)
{
    (void)atomic_fetch_sub(&x->s->conns, 1);
    sandbox_put(x->s);
    free(x);
}

static void on_end(void *arg, unsigned status, uint64_t bytes_up, uint64_t bytes_down)
{
    struct exchange *x = arg;

    (void)atomic_fetch_add(&x->a->metrics.relayed_up, bytes_up);
    (void)atomic_fetch_add(&x->a->metrics.relayed_down, bytes_down);
    audit_access_ended(x->a, x->s, x->what, &x->who, status,
                       (clock_mono_ns() - x->begun_ns) / NS_PER_MS);
    end_exchange(x);
}

/* --- what the proxy answers itself (e2b-wire 1.4) --- */

static void write_body(struct buf *b, const char *id, const char *message, uint32_t port,
                       unsigned code)
{
    buf_add_cstr(b, "{\"sandboxId\":");
    json_write_str(b, str_from(id));
    buf_addf(b, ",\"message\":\"%s\",", message);
    if (port > 0)
        buf_addf(b, "\"port\":%u,", port);
    buf_addf(b, "\"code\":%u}", code);
}

static void refuse(struct http_conn *c, const char *id, unsigned code, const char *headers,
                   const char *message, uint32_t port)
{
    AUTO_BUF struct buf b = BUF_INIT(1024);

    write_body(&b, id, message, port, code);
    answer_json(c, code, headers, &b);
}

static void refuse_internal_path(struct http_conn *c)
{
    AUTO_BUF struct buf b = BUF_INIT((size_t)8 * HTTP1_TARGET_MAX);

    buf_add_cstr(&b, "{\"message\":\"this path is for the service itself\",\"path\":");
    json_write_str(&b, http_path(c));
    buf_add_cstr(&b, ",\"code\":404}");
    answer_json(c, 404, NULL, &b);
}

/* What envd's process service is asked to run is not read here, so it counts as what it can be: anything. */
static void refuse_processes(struct http_conn *c)
{
    /* As Connect has it: "message" is what its clients show. */
    AUTO_BUF struct buf b = BUF_INIT(512);

    buf_add_cstr(&b, "{\"code\":\"permission_denied\",\"message\":\"this sandbox was made by a "
                     "credential without execute:bash, which starting a process needs\","
                     "\"error\":\"insufficient_capability\"}");
    answer_json(c, 403, NULL, &b);
}

static void refuse_connection(struct http_conn *c, const struct sandbox *s, uint32_t port,
                              int rc)
{
    const char *id = s->facts.id.text;

    if (rc == -ECONNREFUSED)
        refuse(c, id, 502, NULL, "The sandbox is running but port is not open", port);
    else if (rc == -ENOENT)
        refuse(c, id, 502, NULL, "The sandbox was not found", 0);
    else /* it may well run: 502 would tell clients that it does not */
        refuse(c, id, 503, "Retry-After: 1\r\n", "The sandbox cannot be reached just now", 0);
}

/* --- the way in --- */

static void relay(struct http_conn *c, struct exchange *x, uint32_t port, int upstream_fd)
{
    static const char *const drop[] = { "X-API-Key",        "X-E2B-API-Key", "E2b-Sandbox-Id",
                                        "E2b-Sandbox-Port", TRAFFIC_TOKEN,   NULL };
    char host[NETWORK_MASK_N] = "";
    AUTO_BUF struct buf body = BUF_INIT(1024);

    write_body(&body, x->s->facts.id.text, "The sandbox is running but port is not open", port,
               502);
    if (port != MONITOR_AGENT_PORT)
        network_mask_host(x->s, port, host);
    const struct http_relay r = { .upstream_fd = upstream_fd,
                                  .host = str_from(host),
                                  .drop = drop,
                                  .connect_timeout_ns = CONNECT_LIMIT_NS,
                                  .fail_status = 502,
                                  .fail_body = buf_str(&body),
                                  .is_over = is_over,
                                  .on_end = on_end,
                                  .on_end_arg = x };
    int rc = http_relay(c, &r);
    if (rc == 0)
        return; /* on_end has x now */
    if (rc == -EINVAL)
        answer_error(c, 400, NULL, NULL, "this request cannot be forwarded");
    else
        refuse(c, x->s->facts.id.text, 503, "Retry-After: 1\r\n", "The server is out of memory",
               0);
    audit_access_ended(x->a, x->s, x->what, &x->who, 503, 0);
    end_exchange(x);
}

/* Counts it in, or answers. Returns owned, or NULL. */
static struct exchange *begin_exchange(struct http_conn *c, struct app *a, struct sandbox *s)
{
    struct exchange *x = NULL;
    unsigned epoch = atomic_load(&s->epoch); /* before the locks: see revocation.h */

    if (atomic_load(&s->locks) > 0) {
        refuse(c, s->facts.id.text, 503, "Retry-After: 1\r\n",
               "The sandbox cannot be reached just now", 0);
        return NULL;
    }
    if (atomic_fetch_add(&s->conns, 1) >= a->config.conns_per_sandbox)
        refuse(c, s->facts.id.text, 429, NULL, "The sandbox has too many connections", 0);
    else if (!(x = malloc(sizeof *x)))
        refuse(c, s->facts.id.text, 503, "Retry-After: 1\r\n", "The server is out of memory",
               0);
    if (!x) {
        (void)atomic_fetch_sub(&s->conns, 1);
        return NULL;
    }
    *x = (struct exchange){
        .a = a, .s = sandbox_ref(s), .begun_ns = clock_mono_ns(), .epoch = epoch
    };
    return x;
}

/* An execution begins only where it can be recorded. False after an answer. */
static bool begin_access(struct http_conn *c, struct exchange *x, uint32_t port)
{
    struct failure f;

    x->what = audit_access_of(port, http_head(c)->method, http_path(c));
    audit_who(c, x->s->facts.owner, &x->who);
    if (x->what == ACCESS_EXECUTION && !audit_admit(x->a, &x->who, &f)) {
        answer_error(c, f.status, f.error_code, f.headers, "%s", f.message);
        return false;
    }
    audit_access_begins(x->a, x->s, x->what, &x->who);
    return true;
}

static void forward(struct http_conn *c, struct app *a, struct sandbox *s, uint32_t port)
{
    struct exchange *x = begin_exchange(c, a, s);
    int fd = -1;

    if (!x)
        return;
    if (!begin_access(c, x, port)) {
        end_exchange(x);
        return;
    }
    int rc = monitor_connect_port(s, a->warden, port, &fd);
    if (rc == 0) {
        relay(c, x, port, fd);
        return;
    }
    refuse_connection(c, s, port, rc);
    audit_access_ended(a, s, x->what, &x->who, 502,
                       (clock_mono_ns() - x->begun_ns) / NS_PER_MS);
    end_exchange(x);
}

void proxy_handle(struct http_conn *c, struct app *a, const char *id, uint32_t port)
{
    int internal = port == MONITOR_AGENT_PORT ? routing_is_internal_path(http_path(c)) : 0;

    if (internal < 0) {
        answer_error(c, 400, NULL, NULL, "the path is not percent-encoded correctly");
        return;
    }
    if (internal > 0) {
        refuse_internal_path(c);
        return;
    }
    AUTO_SANDBOX struct sandbox *s = fleet_find(a->fleet, str_from(id));
    if (!s)
        refuse(c, id, 502, NULL, "The sandbox was not found", 0);
    else if (port == MONITOR_AGENT_PORT && routing_is_process_path(http_path(c)) > 0 &&
             !caps_may_execute(&s->facts.caps, STR("bash")))
        refuse_processes(c);
    else if (port != MONITOR_AGENT_PORT &&
             !network_lets_in(s, http1_get(http_head(c), TRAFFIC_TOKEN)))
        refuse(c, id, 403, NULL,
               "The sandbox's ports are not public: send its trafficAccessToken in the header "
               "e2b-traffic-access-token",
               0);
    else
        forward(c, a, s, port);
}

/* --- signed URLs: they are fetched by third parties, who send no headers of ours --- */

static bool has_signed(struct sandbox *s, const struct file_signature *sig)
{
    char token[SANDBOX_TOKEN_MAX + 1];

    if (sandbox_look(s).state != SANDBOX_RUNNING)
        return false;
    sandbox_token(s, token);
    bool is_by = token[0] && signature_is_by(sig, str_from(token));
    explicit_bzero(token, sizeof token);
    return is_by;
}

static struct sandbox *find_signer(struct app *a, const struct file_signature *sig)
{
    AUTO_FREE struct sandbox **all = calloc(WARDEN_MAX_SANDBOXES, sizeof(struct sandbox *));
    struct sandbox *found = NULL;
    size_t n = all ? fleet_all(a->fleet, all) : 0;

    for (size_t i = 0; i < n; i++) {
        if (!found && has_signed(all[i], sig))
            found = all[i];
        else
            sandbox_put(all[i]);
    }
    return found;
}

bool proxy_handle_signed(struct http_conn *c, struct app *a)
{
    AUTO_FILE_SIGNATURE struct file_signature sig = { 0 };

    if (!signature_read(http_head(c)->method, http_path(c), http_query(c), &sig))
        return false;
    AUTO_SANDBOX struct sandbox *s = find_signer(a, &sig);
    if (s)
        forward(c, a, s,
                MONITOR_AGENT_PORT); /* envd checks it again, and whether it has expired */
    else
        answer_error(c, 401, NULL, NULL, "invalid signature");
    return true;
}
