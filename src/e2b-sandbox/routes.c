/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/routes.h"

#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "codec/url.h"
#include "e2b-sandbox/answer.h"

struct route {
    const char *method, *path; /* {} stands for one segment */
    enum route_class class;
    bool is_open; /* answered without a key */
    void (*handle)(struct request *r);
};

/* Paths with words come before those with {} in the same place. */
static const struct route table[] = {
    { "GET", "/health", CLASS_HEALTH, true, route_health },
    { "GET", "/healthz", CLASS_HEALTH, true, route_healthz },
    { "GET", "/metrics", CLASS_METRICS, true, route_metrics },
    { "POST", "/v2/sandboxes", CLASS_CREATE, false, route_create_v2 },
    { "POST", "/sandboxes", CLASS_CREATE, false, route_create_v1 },
    { "GET", "/v2/sandboxes", CLASS_LIST, false, route_list_v2 },
    { "GET", "/sandboxes", CLASS_LIST, false, route_list_v1 },
    { "GET", "/api/sandboxes", CLASS_LIST, false, route_list_v1 },
    { "GET", "/sandboxes/metrics", CLASS_OTHER, false, route_not_yet },
    { "GET", "/sandboxes/{}", CLASS_GET, false, route_get },
    { "DELETE", "/sandboxes/{}", CLASS_KILL, false, route_kill },
    { "POST", "/sandboxes/{}/timeout", CLASS_TIMEOUT, false, route_timeout },
    { "POST", "/sandboxes/{}/refreshes", CLASS_TIMEOUT, false, route_refresh },
    { "POST", "/sandboxes/{}/connect", CLASS_CONNECT, false, route_connect_v1 },
    { "POST", "/v2/sandboxes/{}/connect", CLASS_CONNECT, false, route_connect_v2 },
    { "GET", "/sandboxes/{}/metrics", CLASS_SANDBOX_METRICS, false, route_sandbox_metrics },
    { "GET", "/templates", CLASS_TEMPLATES, false, route_templates },
    { "GET", "/templates/aliases/{}", CLASS_TEMPLATES, false, route_template_alias },
    /* Part of the API, but not of this version. */
    { "POST", "/sandboxes/{}/pause", CLASS_OTHER, false, route_not_yet },
    { "POST", "/sandboxes/{}/resume", CLASS_OTHER, false, route_not_yet },
    { "POST", "/sandboxes/{}/fork", CLASS_OTHER, false, route_not_yet },
    { "POST", "/sandboxes/{}/snapshots", CLASS_OTHER, false, route_not_yet },
    { "GET", "/sandboxes/{}/logs", CLASS_OTHER, false, route_not_yet },
    { "GET", "/v2/sandboxes/{}/logs", CLASS_OTHER, false, route_not_yet },
    { "PUT", "/sandboxes/{}/network", CLASS_OTHER, false, route_network },
    { "GET", "/snapshots", CLASS_OTHER, false, route_not_yet },
    { "POST", "/v3/templates", CLASS_OTHER, false, route_not_yet },
    { "GET", "/v2/templates", CLASS_OTHER, false, route_not_yet },
    { "POST", "/templates/tags", CLASS_OTHER, false, route_not_yet },
    { "DELETE", "/templates/tags", CLASS_OTHER, false, route_not_yet },
    { "GET", "/templates/{}", CLASS_OTHER, false, route_not_yet },
    { "DELETE", "/templates/{}", CLASS_OTHER, false, route_not_yet },
    { "GET", "/templates/{}/tags", CLASS_OTHER, false, route_not_yet },
    { "GET", "/templates/{}/files/{}", CLASS_OTHER, false, route_not_yet },
    { "GET", "/volumes", CLASS_OTHER, false, route_not_yet },
    { "POST", "/volumes", CLASS_OTHER, false, route_not_yet },
    { "GET", "/volumes/{}", CLASS_OTHER, false, route_not_yet },
    { "DELETE", "/volumes/{}", CLASS_OTHER, false, route_not_yet },
    { "GET", "/secrets", CLASS_OTHER, false, route_not_yet },
    { "POST", "/secrets", CLASS_OTHER, false, route_not_yet },
    { "GET", "/secrets/{}", CLASS_OTHER, false, route_not_yet },
    { "POST", "/secrets/{}", CLASS_OTHER, false, route_not_yet },
    { "DELETE", "/secrets/{}", CLASS_OTHER, false, route_not_yet },
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

static bool is_authorised(struct http_conn *c, struct app *a)
{
    enum auth_verdict verdict =
        auth_check(a->auth, http_head(c), http_peer(c), clock_mono_ns());

    if (verdict == AUTH_OK)
        return true;
    (void)atomic_fetch_add(&a->metrics.auth_failed, 1);
    if (verdict == AUTH_THROTTLED) {
        (void)atomic_fetch_add(&a->metrics.auth_throttled, 1);
        answer_error(c, 429, NULL, "Retry-After: 5\r\n",
                     "too many requests with a wrong API key from this address");
        return false;
    }
    /* The source's bucket limits these lines, too. */
    log_warn("auth_failed", "peer=%s key=%s", http_peer(c),
             verdict == AUTH_MISSING ? "missing" : "unknown");
    if (verdict == AUTH_MISSING)
        answer_error(c, 401, NULL, NULL,
                     "header X-API-Key is missing: send the server's API key in it");
    else
        answer_error(c, 401, NULL, NULL, "the API key in header X-API-Key is not valid");
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

static void run(struct http_conn *c, struct app *a, const struct match *m)
{
    struct request r = { .c = c, .a = a };

    for (size_t i = 0; i < ROUTE_PARAMS && m->param[i].n > 0; i++)
        if (!decode_param(m->param[i], r.param[i])) {
            answer_error(c, 400, NULL, NULL, "the path is not percent-encoded correctly");
            return;
        }
    m->route->handle(&r);
}

void routes_handle(struct http_conn *c, struct app *a)
{
    const struct http1_head *head = http_head(c);
    char allow[160], quoted[LOG_QUOTE_MAX];
    struct match m;

    find(head->method, http_path(c), &m);
    if (!(m.route && m.route->is_open) && !is_authorised(c, a))
        return;
    if (m.route) {
        run(c, a, &m);
    } else if (m.path_exists) {
        (void)snprintf(allow, sizeof allow, "Allow: %s\r\n", m.allow);
        answer_error(c, 405, NULL, allow, "this path takes %s", m.allow);
    } else {
        answer_error(c, 404, NULL, NULL, "there is no path %s",
                     log_quote(http_path(c), quoted));
    }
}
