/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/routes.h"

#include <errno.h>
#include <string.h>

#include "auth/throttle.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/url.h"
#include "e2b-sandbox/answer.h"
#include "e2b-sandbox/audit.h"

struct route {
    const char *method, *path; /* {} stands for one segment */
    enum route_class class;
    enum need { NOTHING, CREDENTIAL, ADMIN } need;
    void (*handle)(struct request *r);
};

/* Paths with words come before those with {} in the same place. */
static const struct route table[] = {
    { "GET", "/health", CLASS_HEALTH, NOTHING, route_health },
    { "GET", "/healthz", CLASS_HEALTH, NOTHING, route_healthz },
    { "GET", "/metrics", CLASS_METRICS, NOTHING, route_metrics },
    { "POST", "/v2/sandboxes", CLASS_CREATE, CREDENTIAL, route_create_v2 },
    { "POST", "/sandboxes", CLASS_CREATE, CREDENTIAL, route_create_v1 },
    { "GET", "/v2/sandboxes", CLASS_LIST, CREDENTIAL, route_list_v2 },
    { "GET", "/sandboxes", CLASS_LIST, CREDENTIAL, route_list_v1 },
    { "GET", "/api/sandboxes", CLASS_LIST, CREDENTIAL, route_list_v1 },
    { "GET", "/sandboxes/metrics", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "GET", "/sandboxes/{}", CLASS_GET, CREDENTIAL, route_get },
    { "DELETE", "/sandboxes/{}", CLASS_KILL, CREDENTIAL, route_kill },
    { "POST", "/sandboxes/{}/timeout", CLASS_TIMEOUT, CREDENTIAL, route_timeout },
    { "POST", "/sandboxes/{}/refreshes", CLASS_TIMEOUT, CREDENTIAL, route_refresh },
    { "POST", "/sandboxes/{}/connect", CLASS_CONNECT, CREDENTIAL, route_connect_v1 },
    { "POST", "/v2/sandboxes/{}/connect", CLASS_CONNECT, CREDENTIAL, route_connect_v2 },
    { "GET", "/sandboxes/{}/metrics", CLASS_SANDBOX_METRICS, CREDENTIAL,
      route_sandbox_metrics },
    { "GET", "/admin/keys", CLASS_ADMIN, ADMIN, route_admin_keys },
    { "POST", "/admin/keys", CLASS_ADMIN, ADMIN, route_admin_issue_key },
    { "DELETE", "/admin/keys/{}", CLASS_ADMIN, ADMIN, route_admin_revoke_key },
    { "GET", "/admin/token-keys", CLASS_ADMIN, ADMIN, route_admin_token_keys },
    { "POST", "/admin/token-keys", CLASS_ADMIN, ADMIN, route_admin_add_token_key },
    { "DELETE", "/admin/token-keys/{}", CLASS_ADMIN, ADMIN, route_admin_remove_token_key },
    { "GET", "/admin/tokens", CLASS_ADMIN, ADMIN, route_admin_tokens },
    { "POST", "/admin/tokens", CLASS_ADMIN, ADMIN, route_admin_register_token },
    { "POST", "/admin/tokens/verify", CLASS_ADMIN, ADMIN, route_admin_verify_token },
    { "POST", "/admin/tokens/revoke", CLASS_ADMIN, ADMIN, route_admin_revoke_token },
    { "GET", "/templates", CLASS_TEMPLATES, CREDENTIAL, route_templates },
    { "GET", "/templates/aliases/{}", CLASS_TEMPLATES, CREDENTIAL, route_template_alias },
    /* Part of the API, but not of this version. */
    { "POST", "/sandboxes/{}/pause", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "POST", "/sandboxes/{}/resume", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "POST", "/sandboxes/{}/fork", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "POST", "/sandboxes/{}/snapshots", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "GET", "/sandboxes/{}/logs", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "GET", "/v2/sandboxes/{}/logs", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "PUT", "/sandboxes/{}/network", CLASS_OTHER, CREDENTIAL, route_network },
    { "GET", "/snapshots", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "POST", "/v3/templates", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "GET", "/v2/templates", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "POST", "/templates/tags", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "DELETE", "/templates/tags", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "GET", "/templates/{}", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "DELETE", "/templates/{}", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "GET", "/templates/{}/tags", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "GET", "/templates/{}/files/{}", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "GET", "/volumes", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "POST", "/volumes", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "GET", "/volumes/{}", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "DELETE", "/volumes/{}", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "GET", "/secrets", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "POST", "/secrets", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "GET", "/secrets/{}", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "POST", "/secrets/{}", CLASS_OTHER, CREDENTIAL, route_not_yet },
    { "DELETE", "/secrets/{}", CLASS_OTHER, CREDENTIAL, route_not_yet },
};

/* --- matching --- */

struct match {
    const struct route *route; /* NULL: none with this method */
    bool path_exists;
    char allow[128];                /* methods of the path */
    struct str param[ROUTE_PARAMS]; /* still encoded */
};

static bool path_matches(const char *pattern, struct str path, struct str param[ROUTE_PARAMS])
{
    struct str want = str_from(pattern), a, b;
    size_t n = 0;

    while (url_next_segment(&want, &a)) {
        if (!url_next_segment(&path, &b))
            return false;
        if (str_eq(a, STR("{}"))) {
            if (b.n == 0 || n == ROUTE_PARAMS)
                return false;
            param[n++] = b;
        } else if (!str_eq(a, b)) {
            return false;
        }
    }
    return path.n == 0;
}

static void note_method(struct match *m, const char *method)
{
    size_t n = strlen(m->allow);

    if (!strstr(m->allow, method))
        (void)snprintf(m->allow + n, sizeof m->allow - n, "%s%s", n > 0 ? ", " : "", method);
}

static void find(struct str method, struct str path, struct match *m)
{
    *m = (struct match){ 0 };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct str param[ROUTE_PARAMS] = { 0 };
        if (!path_matches(table[i].path, path, param))
            continue;
        m->path_exists = true;
        note_method(m, table[i].method);
        if (m->route || !str_eq(method, str_from(table[i].method)))
            continue;
        m->route = &table[i];
        memcpy(m->param, param, sizeof param);
    }
}

enum route_class routes_class(const struct http1_head *head)
{
    struct match m;
    struct str path, query;

    url_split_target(head->target, &path, &query);
    find(head->method, path, &m);
    return m.route ? m.route->class : CLASS_OTHER;
}

bool routes_is_urgent(const struct http1_head *head)
{
    enum route_class class = routes_class(head);
    return class == CLASS_HEALTH || class == CLASS_KILL;
}

/* --- answering --- */

static bool is_authorised(struct http_conn *c, struct app *a, struct principal *who)
{
    const struct auth_time now = { clock_mono_ns(), clock_real_ns() };
    const char *why = "";
    enum auth_verdict verdict = auth_check(a->auth, http_head(c), http_peer(c), now, who, &why);

    if (verdict == AUTH_OK)
        return true;
    struct audit_who from;
    audit_who(c, NULL, &from);
    (void)atomic_fetch_add(&a->metrics.auth_failed, 1);
    if (verdict == AUTH_THROTTLED) {
        (void)atomic_fetch_add(&a->metrics.auth_throttled, 1);
        audit_event(a, AUDIT_AUTH_THROTTLED, NULL, &from, NULL);
        answer_error(c, 429, NULL, "Retry-After: " THROTTLE_RETRY_AFTER "\r\n",
                     "too many requests with a wrong API key from this address");
        return false;
    }
    /* The source's bucket limits these lines, too. */
    audit_event(a, AUDIT_AUTH_FAILED, NULL, &from,
                verdict == AUTH_MISSING ? "key missing" : "key unknown");
    log_warn("auth_failed", "peer=%s key=%s why=\"%s\"", http_peer(c),
             verdict == AUTH_MISSING ? "missing" : "unknown", why);
    answer_error(c, 401, NULL, "WWW-Authenticate: Bearer\r\n", "%s", why);
    return false;
}

static const char *cap_name(enum cap one)
{
    switch (one) {
    case CAP_NETWORK_EGRESS:
        return "network:egress";
    case CAP_DESKTOP_ACCESS:
        return "desktop:access";
    case CAP_SURF_START:
        return "surf:start";
    case CAP_SPELL_EXECUTE:
        return "spell:execute";
    case CAP_ARTIFACT_UPLOAD:
        return "artifact:upload";
    case CAP_ADMIN:
        break;
    }
    return "admin";
}

bool routes_lacks(struct request *r, enum cap one)
{
    if (caps_have(&r->who.caps, one))
        return false;
    answer_error(r->c, 403, "insufficient_capability", NULL,
                 "this needs a credential with the capability %s", cap_name(one));
    return true;
}

int routes_all_owners(struct request *r)
{
    AUTO_BUF struct buf b = BUF_INIT(16);
    int rc = url_query_get(http_query(r->c), "owners", &b);

    if (rc == -ENOENT)
        return 0;
    if (rc < 0 || !buf_ok(&b) || !str_eq(buf_str(&b), STR("all"))) {
        answer_error(r->c, 400, NULL, NULL, "query parameter 'owners' must be 'all'");
        return -1;
    }
    return routes_lacks(r, CAP_ADMIN) ? -1 : 1;
}

bool routes_read_body(struct request *r, struct buf *out)
{
    int rc = http_body_all(r->c, out);

    if (rc == 0)
        return true;
    if (rc == -EMSGSIZE)
        answer_error(r->c, 413, NULL, NULL, "the body is larger than %zu bytes", out->max);
    else if (rc == -EPROTO)
        answer_error(r->c, 400, NULL, NULL, "the body's chunks are broken");
    else if (rc == -ETIMEDOUT)
        answer_error(r->c, 408, NULL, NULL, "the body did not arrive in time");
    else
        answer_error(r->c, 500, "internal_server_error", NULL, "the body could not be read");
    return false;
}

static bool decode_param(struct str encoded, char out[ROUTE_PARAM_MAX + 1])
{
    AUTO_BUF struct buf b = BUF_INIT(ROUTE_PARAM_MAX);

    if (url_decode(encoded, false, &b) < 0)
        return false;
    if (!buf_ok(
            &b)) /* too long to name anything: keep the beginning, which names nothing either */
        b.n = b.n < ROUTE_PARAM_MAX ? b.n : ROUTE_PARAM_MAX;
    return str_copy(buf_str(&b), out, ROUTE_PARAM_MAX + 1) == 0;
}

static void run(struct http_conn *c, struct app *a, const struct match *m,
                const struct principal *who)
{
    struct request r = { .c = c, .a = a, .who = *who };

    for (size_t i = 0; i < ROUTE_PARAMS && m->param[i].n > 0; i++)
        if (!decode_param(m->param[i], r.param[i])) {
            answer_error(c, 400, NULL, NULL, "the path is not percent-encoded correctly");
            return;
        }
    if (m->route->need != ADMIN || !routes_lacks(&r, CAP_ADMIN))
        m->route->handle(&r);
}

void routes_handle(struct http_conn *c, struct app *a)
{
    const struct http1_head *head = http_head(c);
    char allow[160], quoted[LOG_QUOTE_MAX];
    struct principal who = { 0 };
    struct match m;

    find(head->method, http_path(c), &m);
    if (!(m.route && m.route->need == NOTHING) && !is_authorised(c, a, &who))
        return;
    if (m.route) {
        run(c, a, &m, &who);
    } else if (m.path_exists) {
        (void)snprintf(allow, sizeof allow, "Allow: %s\r\n", m.allow);
        answer_error(c, 405, NULL, allow, "this path takes %s", m.allow);
    } else {
        answer_error(c, 404, NULL, NULL, "there is no path %s",
                     log_quote(http_path(c), quoted));
    }
}
