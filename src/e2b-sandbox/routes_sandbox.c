/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "codec/json.h"
#include "codec/url.h"
#include "e2b-sandbox/answer.h"
#include "e2b-sandbox/audit.h"
#include "e2b-sandbox/describe.h"
#include "e2b-sandbox/lifecycle.h"
#include "e2b-sandbox/monitor.h"
#include "e2b-sandbox/network.h"
#include "e2b-sandbox/revocation.h"
#include "e2b-sandbox/routes.h"
#include "ipc/ipc.h"

#define BODY_MAX         (1u << 20)
#define ANSWER_MAX       (4u << 20)
#define CONNECT_V2_S     300
#define REFRESH_MIN_S    15
#define REFRESH_MAX_S    3600
#define ENV_PAIRS_OF_ALL 1024u /* of template and request together: what envd takes */

static void answer_failure(struct request *r, const struct failure *f)
{
    answer_error(r->c, f->status, f->error_code, f->headers, "%s", f->message);
}

/* Whoever might have seen one may know how it ended. */
static void add_end(struct request *r, bool all_owners, struct str id, struct failure *f)
{
    char when[CLOCK_TEXT_MAX];
    struct registry_end end;
    size_t n = strlen(f->message);
    struct err ignored;

    if (id.n > SANDBOX_ID_LEN || registry_ended(r->a->registry, id, &end, &ignored) < 0 ||
        !(all_owners || auth_may_see(&r->who, end.owner, &end.caps)))
        return;
    clock_format_rfc3339(end.at_ns, 0, when);
    (void)snprintf(f->message + n, sizeof f->message - n, ": it ended at %s (%s)", when,
                   end.cause);
}

/* The running sandbox that the path names, {id} or {id}-{clientID}; or NULL after an answer. Returns a reference. One that the asker
 * may not see is looked up and refused just as one that does not exist. */
static struct sandbox *find_sandbox(struct request *r)
{
    struct str id, client;
    struct failure f;

    int all_owners = routes_all_owners(r);
    if (all_owners < 0)
        return NULL;
    (void)str_cut(str_from(r->param[0]), '-', &id, &client);
    struct sandbox *s = fleet_find(r->a->fleet, id);
    if (s && (all_owners || auth_may_see(&r->who, s->facts.owner, &s->facts.caps)))
        return s;
    sandbox_put(s);
    failure_not_found(&f, r->param[0]);
    add_end(r, all_owners, id, &f);
    answer_failure(r, &f);
    return NULL;
}

static void wipe(struct buf *b)
{
    if (b->p)
        explicit_bzero(b->p, b->n); /* it held a token, or what rules keep secret */
}

/* May the asker be told its token? False after an answer: his credential was revoked after it was judged. */
static bool note_told(struct request *r, struct sandbox *s)
{
    if (revocation_note_told(r->a, s, &r->who))
        return true;
    answer_error(r->c, 401, NULL, "WWW-Authenticate: Bearer\r\n",
                 "the credential has just been revoked");
    return false;
}

static void answer_sandbox(struct request *r, unsigned status, struct sandbox *s)
{
    AUTO_BUF struct buf b = BUF_INIT(ANSWER_MAX);

    describe_sandbox(r->a, s, &b);
    answer_json(r->c, status, NULL, &b);
    wipe(&b);
}

/* --- create --- */

static bool find_template(struct request *r, const struct create_request *want,
                          struct template *t)
{
    struct err e = { 0 };
    int rc = want->template.has_known_tag
                 ? template_find(r->a->templates_fd, str_from(want->template.name), t, &e)
                 : -ENOENT;

    if (rc == 0)
        return true;
    if (rc == -ENOENT) {
        answer_error(r->c, 404, NULL, NULL, "template '%s' not found", want->template.text);
    } else {
        log_error("template_unreadable", "template=%s err=\"%s\"", want->template.name, e.text);
        answer_error(r->c, 500, "internal_server_error", NULL,
                     "template '%s' cannot be read: see the server's log", want->template.text);
    }
    return false;
}

/* Made and recorded, or neither. */
static int create_recorded(struct request *r, struct create_request *want,
                           const struct template *t, struct sandbox **out, struct failure *f)
{
    uint64_t begun_ns = clock_mono_ns();
    AUTO_SANDBOX struct sandbox *s = NULL;
    struct failure ignored;
    struct audit_who who;

    audit_who(r->c, r->who.owner, &who);
    if (!audit_admit(r->a, &who, f))
        return -1;
    if (lifecycle_create(r->a, &r->who, want, t, &s, f) < 0) {
        audit_not_created(r->a, &who, f);
        return -1;
    }
    if (!audit_created(r->a, s, &who, (clock_mono_ns() - begun_ns) / NS_PER_MS, f)) {
        (void)lifecycle_kill(r->a, s, &ignored); /* if it cannot be, its deadline ends it */
        return -1;
    }
    *out = ptr_steal(&s);
    return 0;
}

static void create(struct request *r, enum create_version version)
{
    AUTO_BUF struct buf body = BUF_INIT(BODY_MAX);
    AUTO_CREATE_REQUEST struct create_request want = { 0 };
    AUTO_TEMPLATE struct template t = { 0 };
    AUTO_SANDBOX struct sandbox *s = NULL;
    struct failure f;
    struct err e = { 0 };

    if (!caps_may_execute_anything(&r->who.caps)) {
        answer_error(r->c, 403, "insufficient_capability", NULL,
                     "a sandbox needs a credential that may execute something");
        return;
    }
    if (!routes_read_body(r, &body))
        return;
    int rc =
        create_request_parse(buf_str(&body), version, r->a->config.max_timeout_s, &want, &e);
    wipe(&body);
    if (rc < 0) {
        answer_error(r->c, 400, NULL, NULL, "%s", e.text);
        return;
    }
    if (!find_template(r, &want, &t))
        return;
    if (json_object_size(want.env) + json_object_size(t.env) > ENV_PAIRS_OF_ALL)
        answer_error(r->c, 400, NULL, NULL,
                     "field 'envVars': with the template's there are more than %u variables",
                     ENV_PAIRS_OF_ALL);
    else if (create_recorded(r, &want, &t, &s, &f) < 0)
        answer_failure(r, &f);
    else if (note_told(r, s))
        answer_sandbox(r, 201, s);
    else
        (void)lifecycle_kill(r->a, s, &f); /* nobody has it */
}

void route_create_v1(struct request *r)
{
    create(r, CREATE_V1);
}

void route_create_v2(struct request *r)
{
    create(r, CREATE_V2);
}

/* --- one sandbox --- */

void route_get(struct request *r)
{
    AUTO_BUF struct buf b = BUF_INIT(ANSWER_MAX);
    AUTO_SANDBOX struct sandbox *s = find_sandbox(r);

    if (!s || !note_told(r, s))
        return;
    describe_detail(r->a, s, &b);
    answer_json(r->c, 200, NULL, &b);
    wipe(&b);
}

void route_kill(struct request *r)
{
    AUTO_SANDBOX struct sandbox *s = find_sandbox(r);
    struct failure f;

    if (!s)
        return;
    struct audit_who who;
    audit_who(r->c, r->who.owner, &who);
    sandbox_set_ender(s, &who);
    if (lifecycle_kill(r->a, s, &f) < 0) {
        answer_failure(r, &f);
        return;
    }
    audit_settled(r->a);
    answer_empty(r->c, 204);
}

/* Something about a sandbox was changed. */
static void record_change(struct request *r, const struct sandbox *s, enum audit_event event,
                          const char *reason)
{
    struct audit_who who;

    audit_who(r->c, r->who.owner, &who);
    audit_event(r->a, event, s->facts.id.text, &who, reason);
    audit_settled(r->a);
}

static int change_end(struct request *r, struct sandbox *s, enum end_change how,
                      uint32_t seconds, struct failure *f)
{
    char reason[40];

    if (lifecycle_change_end(r->a, s, how, seconds, f) < 0)
        return -1;
    (void)snprintf(reason, sizeof reason, "%s %u s", how == END_SET ? "set" : "extend",
                   seconds);
    record_change(r, s, AUDIT_SANDBOX_PROLONGED, reason);
    return 0;
}

/* Reads one integer of a JSON body. `absent` stands for a missing one; < 0: it must be there. False after an answer. */
static bool read_seconds(struct request *r, const char *field, int64_t min, int64_t max,
                         int64_t absent, uint32_t *out)
{
    AUTO_BUF struct buf body = BUF_INIT(BODY_MAX);
    struct err e = { 0 };
    int64_t v = absent;

    if (!routes_read_body(r, &body))
        return false;
    AUTO_JSON json_t *j = body_parse(buf_str(&body), absent >= 0, &e);
    int rc = j ? json_get_i64(j, field, min, max, &v, &e) : -EINVAL;
    if (rc == 0 && v < 0)
        rc = err_say(&e, EINVAL, "field '%s' is missing", field);
    if (rc < 0) {
        answer_error(r->c, 400, NULL, NULL, "%s", e.text);
        return false;
    }
    *out = (uint32_t)v; /* min..max or absent: not negative, below 2^32 */
    return true;
}

void route_timeout(struct request *r)
{
    AUTO_SANDBOX struct sandbox *s = find_sandbox(r);
    struct failure f;
    uint32_t seconds;

    if (!s || !read_seconds(r, "timeout", 0, r->a->config.max_timeout_s, -1, &seconds))
        return;
    if (change_end(r, s, END_SET, seconds, &f) < 0)
        answer_failure(r, &f);
    else
        answer_empty(r->c, 204);
}

void route_refresh(struct request *r)
{
    AUTO_SANDBOX struct sandbox *s = find_sandbox(r);
    struct failure f;
    uint32_t seconds;

    if (!s || !read_seconds(r, "duration", 0, REFRESH_MAX_S, 0, &seconds))
        return;
    if (seconds < REFRESH_MIN_S)
        seconds = REFRESH_MIN_S;
    if (change_end(r, s, END_EXTEND, seconds, &f) < 0)
        answer_failure(r, &f);
    else
        answer_empty(r->c, 204);
}

/* A full replacement: what is left out is cleared. */
static int parse_network(struct str body, struct network_wish *w, struct err *e)
{
    bool internet = false;
    AUTO_JSON json_t *j = body_parse(body, false, e);
    int rc = j ? json_get_bool(j, "allow_internet_access", &internet, e) : -EINVAL;

    if (rc < 0)
        return rc;
    return network_wish_parse(j, NETWORK_UPDATE, "",
                              rc == 0    ? INTERNET_UNSET
                              : internet ? INTERNET_ALLOWED
                                         : INTERNET_DENIED,
                              w, e);
}

void route_network(struct request *r)
{
    AUTO_BUF struct buf body = BUF_INIT(BODY_MAX);
    AUTO_NETWORK_WISH struct network_wish w = { 0 };
    AUTO_SANDBOX struct sandbox *s = find_sandbox(r);
    struct failure f;
    struct err e = { 0 };

    if (!s || !routes_read_body(r, &body))
        return;
    int rc = parse_network(buf_str(&body), &w, &e);
    wipe(&body);
    if (rc < 0)
        answer_error(r->c, 400, NULL, NULL, "%s", e.text);
    /* Who sees a sandbox has all that it has. */
    else if (network_admit_change(r->a, &s->facts.caps, &w, &f) < 0 ||
             network_change(r->a, s, &w, &f) < 0 || lifecycle_trust(r->a, s, &f) < 0)
        answer_failure(r, &f);
    else {
        record_change(r, s, AUDIT_NETWORK_CHANGED, NULL);
        answer_empty(r->c, 204);
    }
}

static void connect_to(struct request *r, int64_t absent)
{
    AUTO_SANDBOX struct sandbox *s = find_sandbox(r);
    struct failure f;
    uint32_t seconds;

    if (!s || !read_seconds(r, "timeout", 1, r->a->config.max_timeout_s, absent, &seconds))
        return;
    if (change_end(r, s, END_EXTEND, seconds, &f) < 0)
        answer_failure(r, &f);
    else if (note_told(r, s))
        answer_sandbox(r, 200, s); /* 201 would say that it was paused */
}

void route_connect_v1(struct request *r)
{
    connect_to(r, -1);
}

void route_connect_v2(struct request *r)
{
    connect_to(r, CONNECT_V2_S);
}

/* --- metrics of one sandbox --- */

/* Unix seconds from the query. False after an answer. */
static bool read_time(struct request *r, const char *name, uint64_t absent, uint64_t *out)
{
    AUTO_BUF struct buf b = BUF_INIT(32);
    int rc = url_query_get(http_query(r->c), name, &b);

    *out = absent;
    if (rc == -ENOENT)
        return true;
    if (rc == 0 && buf_ok(&b) &&
        num_parse_u64(buf_str(&b), 0, UINT32_MAX * UINT64_C(16), out) == 0)
        return true;
    answer_error(r->c, 400, NULL, NULL, "query parameter '%s' must be a time in Unix seconds",
                 name);
    return false;
}

static void sample_now(struct request *r, struct sandbox *s)
{
    struct monitor_stats stats;

    if (monitor_stats(s, r->a->warden, &stats) < 0)
        return; /* then there is what was sampled before */
    const struct sample now = monitor_sample(&stats);
    sandbox_add_sample(s, &now);
    sandbox_add_counts(s, stats.oom_kills, stats.tripwires);
}

void route_sandbox_metrics(struct request *r)
{
    AUTO_FREE struct sample *sample = calloc(SAMPLES_MAX, sizeof *sample);
    AUTO_BUF struct buf b = BUF_INIT(ANSWER_MAX);
    AUTO_SANDBOX struct sandbox *s = NULL;
    uint64_t start, end;
    const char *separator = "";

    if (!sample) {
        answer_error(r->c, 500, "internal_server_error", NULL, "out of memory");
        return;
    }
    if (!read_time(r, "start", 0, &start) || !read_time(r, "end", UINT64_MAX, &end) ||
        !(s = find_sandbox(r)))
        return;
    size_t n = sandbox_samples(s, sample);
    if (n == 0) { /* the sampler has not come by yet */
        sample_now(r, s);
        n = sandbox_samples(s, sample);
    }
    buf_add_char(&b, '[');
    for (size_t i = 0; i < n; i++) {
        uint64_t at = sample[i].real_ns / NS_PER_S;
        if (at < start || at > end)
            continue;
        buf_add_cstr(&b, separator);
        describe_metric(s, &sample[i > 0 ? i - 1 : 0], &sample[i], &b);
        separator = ",";
    }
    buf_add_char(&b, ']');
    answer_json(r->c, 200, NULL, &b);
}
