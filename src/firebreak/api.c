/* SPDX-License-Identifier: Apache-2.0 */
#include "firebreak/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "codec/json.h"
#include "codec/url.h"
#include "firebreak/cli.h"

#define CONNECT_TIMEOUT_NS (5 * NS_PER_S)
#define IO_TIMEOUT_NS                                                                          \
    (120 * NS_PER_S) /* a create may wait for a busy host; nothing else takes that long */
#define AGENT_PORT "49983"
#define PAGES_MAX  1000u

static int url_open(struct api_url *u, const char *text, const char *source, struct err *e)
{
    if (snprintf(u->text, sizeof u->text, "%s", text) >= (int)sizeof u->text)
        return err_say(e, EINVAL, "%s is too long for a URL", source);
    int rc = http_client_parse_url(text, u->host, &u->port, u->prefix, e);
    if (rc < 0)
        return err_wrap(e, "%s '%.200s'", source, text);
    bool v6 = strchr(u->host, ':') != NULL;
    (void)snprintf(u->host_header, sizeof u->host_header, "%s%s%s:%u", v6 ? "[" : "", u->host,
                   v6 ? "]" : "", u->port);
    return 0;
}

/* First line of a small file, without its end. */
static int read_line(const char *dir, const char *name, char *out, size_t cap)
{
    char path[PLACE_PATH_MAX + 32];

    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    long n = cli_read_file(path, out, cap - 1);
    if (n < 0)
        return (int)n;
    out[strcspn(out, "\r\n")] = '\0';
    return *out ? 0 : -ENODATA;
}

static int key_open(struct api *a, const struct place *p, struct err *e)
{
    const char *given = getenv("E2B_API_KEY");

    if (given && *given) {
        if (strlen(given) >= sizeof a->key)
            return err_say(e, EINVAL, "E2B_API_KEY is longer than %u bytes", API_KEY_MAX - 1);
        (void)snprintf(a->key, sizeof a->key, "%s", given);
    } else {
        int rc = read_line(p->state, "api.key", a->key, sizeof a->key);
        if (rc < 0)
            return err_say(e, rc == -ENOENT ? ENOKEY : EACCES,
                           "no API key: E2B_API_KEY is not set, and %s/api.key %s", p->state,
                           rc == -ENOENT ? "does not exist" : "cannot be read");
    }
    /* It becomes a header line. */
    for (const char *c = a->key; *c; c++)
        if (*c <= 0x20 || *c >= 0x7f)
            return err_say(e, EINVAL, "the API key holds a blank or control character");
    return 0;
}

int api_open(struct api *a, const struct place *p, struct err *e)
{
    char text[512];
    const char *url = getenv("E2B_API_URL"), *data = getenv("E2B_SANDBOX_URL");

    *a = (struct api){ 0 };
    const char *source = "E2B_API_URL";

    if (!url || !*url) {
        source = "the API's address";
        if (read_line(p->run, "api.url", text, sizeof text) < 0)
            (void)snprintf(text, sizeof text, "http://%s", p->listen);
        url = text;
    }
    int rc = url_open(&a->control, url, source, e);
    if (rc == 0)
        rc = url_open(&a->data, data && *data ? data : url,
                      data && *data ? "E2B_SANDBOX_URL" : source, e);
    return rc == 0 ? key_open(a, p, e) : rc;
}

void api_close(struct api *a)
{
    explicit_bzero(a, sizeof *a);
}

void api_answer_fini(struct api_answer *r)
{
    json_decref(r->json);
    r->json = NULL;
}

const char *api_hint(const struct err *e)
{
    switch (e->code) {
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "is it running? start it with: sudo firebreak up   (or set E2B_API_URL)";
    case EKEYREJECTED:
        return getenv("E2B_API_KEY") ? "E2B_API_KEY is set, but this server does not know that "
                                       "key: unset it, or set the server's"
                                     : "the server has been started with another key than that "
                                       "in its state directory";
    case ENOKEY:
        return "has this instance ever been up? start it with: sudo firebreak up   (or set "
               "E2B_API_KEY)";
    case EACCES:
        return "set E2B_API_KEY, or run this as root on the machine where 'firebreak up' runs";
    default:
        return NULL;
    }
}

static int exchange(const struct api_url *u, const char *method, const char *target,
                    const char *headers, struct str body, struct http_client *c, struct err *e)
{
    char whole[HTTP1_TARGET_MAX];

    if (snprintf(whole, sizeof whole, "%s%s", u->prefix, target) >= (int)sizeof whole)
        return err_say(e, EINVAL, "the request is too long");
    int fd = http_client_connect(u->host, u->port, CONNECT_TIMEOUT_NS, e);
    if (fd < 0)
        return err_wrap(e, "cannot reach %.200s", u->text);
    http_client_init(c, fd, IO_TIMEOUT_NS);
    int rc = http_client_send(c, method, whole, u->host_header, headers, body, e);
    if (rc < 0) {
        http_client_fini(c);
        return err_wrap(e, "%s %.100s", method, target);
    }
    return 0;
}

/* Reads a body that must be JSON or empty. */
static int read_json(struct http_client *c, json_t **out, struct err *e)
{
    AUTO_BUF struct buf body = BUF_INIT(API_ANSWER_MAX);
    int rc = http_client_body(c, &body, e);

    *out = NULL;
    if (rc < 0 || body.n == 0)
        return rc;
    *out = json_parse(buf_str(&body), e);
    return *out ? 0 : -e->code;
}

int api_call(const struct api *a, const char *method, const char *target, const json_t *body,
             struct api_answer *r, struct err *e)
{
    AUTO_BUF struct buf text = BUF_INIT(API_ANSWER_MAX);
    char headers[API_KEY_MAX + 160], whole[HTTP1_TARGET_MAX];
    struct http_client c;
    bool about_sandboxes = str_starts(str_from(target), STR("/sandboxes")) ||
                           str_starts(str_from(target), STR("/v2/sandboxes"));

    *r = (struct api_answer){ 0 };
    if (body && !json_write(&text, body))
        return err_set(e, ENOMEM, "make the request");
    (void)snprintf(headers, sizeof headers,
                   "X-API-Key: %s\r\nAccept: application/json\r\n"
                   "User-Agent: firebreak/" FIREBREAK_VERSION "\r\n%s",
                   a->key, body ? "Content-Type: application/json\r\n" : "");
    (void)snprintf(whole, sizeof whole, "%s%s",
                   target, /* exchange finds one that is too long */
                   !a->all_owners || !about_sandboxes ? ""
                   : strchr(target, '?')              ? "&owners=all"
                                                      : "?owners=all");
    int rc = exchange(&a->control, method, whole, headers, buf_str(&text), &c, e);
    explicit_bzero(headers, sizeof headers);
    if (rc < 0)
        return rc;
    rc = http_client_head(&c, false, e);
    if (rc == 0) {
        struct str next = http1_get(&c.head, "X-Next-Token");
        r->status = c.head.status;
        if (next.p && str_copy(next, r->next, sizeof r->next) < 0)
            rc = err_say(e, EPROTO, "the answer's page token is too long");
    }
    if (rc == 0)
        rc = read_json(&c, &r->json, e);
    http_client_fini(&c);
    return rc < 0 ? err_wrap(e, "%s %.100s", method, target) : 0;
}

static int say_status(unsigned status, const json_t *json, const char *what, struct err *e)
{
    const char *message = json_string_value(json_object_get(json, "message"));
    int code = status == 401   ? EKEYREJECTED
               : status == 403 ? EACCES
               : status == 404 ? ENOENT
                               : EPROTO;

    if (message)
        return err_say(e, code, "%s: %.160s (HTTP %u)", what, message, status);
    return err_say(e, code, "%s: HTTP %u %s", what, status, http1_status_text(status));
}

int api_expect(const struct api *a, const char *method, const char *target, const json_t *body,
               struct api_answer *r, struct err *e)
{
    char what[160];
    int rc = api_call(a, method, target, body, r, e);

    if (rc < 0)
        return rc;
    if (r->status >= 200 && r->status < 300)
        return 0;
    (void)snprintf(what, sizeof what, "%s %.100s", method, target);
    rc = say_status(r->status, r->json, what, e);
    api_answer_fini(r);
    return rc;
}

bool api_is_sandbox_id(const char *id)
{
    size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789");

    return n > 0 && n <= API_SANDBOX_ID_MAX && id[n] == '\0';
}

int api_agent_send(const struct api *a, const struct api_sandbox *s, const char *method,
                   const char *target, const char *headers, struct str body,
                   struct http_client *c, struct err *e)
{
    char all[API_TOKEN_MAX + API_SANDBOX_ID_MAX + 1024];
    int n = snprintf(all, sizeof all,
                     "E2b-Sandbox-Id: %s\r\nE2b-Sandbox-Port: " AGENT_PORT "\r\n%s%s%s"
                     "User-Agent: firebreak/" FIREBREAK_VERSION "\r\n%s",
                     s->id, *s->token ? "X-Access-Token: " : "", s->token,
                     *s->token ? "\r\n" : "", headers);

    if (n < 0 || (size_t)n >= sizeof all)
        return err_say(e, EINVAL, "the request's headers are too long");
    int rc = exchange(&a->data, method, target, all, body, c, e);
    explicit_bzero(all, sizeof all);
    return rc;
}

int api_agent_error(struct http_client *c, const char *what, struct err *e)
{
    AUTO_JSON json_t *json = NULL;
    struct err ignored;

    (void)read_json(c, &json, &ignored); /* without a readable body the status alone is said */
    return say_status(c->head.status, json, what, e);
}

int api_each_sandbox(const struct api *a, int (*fn)(json_t *row, void *arg), void *arg,
                     struct err *e)
{
    AUTO_BUF struct buf target = BUF_INIT(HTTP1_TARGET_MAX);
    char next[1024] = "";

    for (unsigned page = 0; page < PAGES_MAX; page++) {
        AUTO_API_ANSWER struct api_answer r = { 0 };

        buf_clear(&target);
        buf_add_cstr(&target, "/v2/sandboxes?state=running%2Cpaused&limit=100");
        if (*next) {
            buf_add_cstr(&target, "&nextToken=");
            url_encode(str_from(next), &target);
        }
        if (!buf_ok(&target))
            return err_set(e, ENOMEM, "make the request");
        int rc = api_expect(a, "GET", buf_cstr(&target), NULL, &r, e);
        if (rc < 0)
            return rc;
        if (!json_is_array(r.json))
            return err_say(e, EPROTO, "the list of sandboxes is not an array");
        for (size_t i = 0; i < json_array_size(r.json); i++) {
            rc = fn(json_array_get(r.json, i), arg);
            if (rc != 0)
                return rc;
        }
        if (!*r.next)
            return 0;
        (void)snprintf(next, sizeof next, "%s", r.next);
    }
    return err_say(e, EPROTO, "the list of sandboxes does not end");
}
