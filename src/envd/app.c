/* SPDX-License-Identifier: Apache-2.0 */
#include "envd/app.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "codec/json.h"
#include "envd/auth.h"
#include "envd/files.h"
#include "envd/filesystem_rpc.h"
#include "envd/metrics.h"
#include "envd/process_rpc.h"
#include "envd/reply.h"
#include "envd/trust.h"

#define INIT_BODY_MAX (4u << 20)
#define ENVS_MAX      (64u << 20)

/* --- the small endpoints --- */

static void health(struct app *a, struct http_conn *c)
{
    (void)a;
    (void)reply_empty(c, 204, "Cache-Control: no-store\r\n");
}

static void metrics(struct app *a, struct http_conn *c)
{
    AUTO_BUF struct buf body = BUF_INIT(4096);

    (void)a;
    metrics_write(&body);
    (void)reply_json(c, 200, "Cache-Control: no-store\r\n", buf_str(&body));
}

static void envs(struct app *a, struct http_conn *c)
{
    AUTO_BUF struct buf body = BUF_INIT(ENVS_MAX);
    AUTO_JSON json_t *env = settings_env(&a->settings);

    if (!env || !json_write(&body, env))
        (void)reply_error(c, 503, "out of memory");
    else
        (void)reply_json(c, 200, "Cache-Control: no-store\r\n", buf_str(&body));
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[PATHS_MAX];

    if (paths_join(dir, (struct str){ name, strlen(name) }, path) < 0 || text[0] == '\0')
        return;
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd >= 0)
        (void)!write(fd, text, strlen(text)); /* nothing depends on it */
}

void app_write_identity(struct app *a)
{
    char value[128];

    write_file(a->run_dir, ".E2B_SANDBOX", "true");
    settings_identity(&a->settings, "E2B_SANDBOX_ID", value);
    write_file(a->run_dir, ".E2B_SANDBOX_ID", value);
    settings_identity(&a->settings, "E2B_TEMPLATE_ID", value);
    write_file(a->run_dir, ".E2B_TEMPLATE_ID", value);
}

/* "caBundle" and "caHash" of a body of /init: an authority that programs are to trust. 0, also
 * without them, or -errno with *e. */
static int take_authority(struct app *a, const json_t *body, struct err *e)
{
    const char *pem = NULL;
    int64_t hash = 0;

    if (json_get_str(body, "caBundle", TRUST_PEM_MAX, &pem, e) < 0 ||
        json_get_i64(body, "caHash", 0, UINT32_MAX, &hash, e) < 0)
        return -EINVAL;
    if (!pem)
        return 0;
    if (trust_add(str_from(pem), (uint32_t)hash, e) < 0)
        return -e->code;
    AUTO_JSON json_t *env = trust_env();
    return !env || settings_default_env(&a->settings, env) < 0
               ? err_set(e, ENOMEM, "tell programs of an authority")
               : 0;
}

/* The host's own call: the first one sets the access token, later ones must bring it. */
static void init(struct app *a, struct http_conn *c)
{
    AUTO_BUF struct buf text = BUF_INIT(INIT_BODY_MAX);
    struct err e;

    if (http_body_all(c, &text) < 0) {
        (void)reply_error(c, 400, "the request body cannot be read");
        return;
    }
    AUTO_JSON json_t *body = text.n ? json_parse(buf_str(&text), &e) : json_object();
    if (!json_is_object(body)) {
        (void)reply_error(c, 400, "the body must be a JSON object");
        return;
    }
    int rc = settings_update(&a->settings, body, http1_get(http_head(c), "X-Access-Token"), &e);
    if (text.p)
        explicit_bzero(text.p, text.n);
    if (rc == 0)
        rc = take_authority(a, body, &e);
    if (rc < 0) {
        (void)reply_error(c, rc == -EACCES ? 401 : rc == -EINVAL ? 400 : 503, "%s", e.text);
        return;
    }
    app_write_identity(a);
    warm_begin(a->warm);
    (void)reply_empty(c, 204, NULL);
}

/* The host's call for a sandbox of its pool: an interpreter is to wait for the first program. */
static void warm(struct app *a, struct http_conn *c)
{
    AUTO_BUF struct buf text = BUF_INIT(INIT_BODY_MAX);
    AUTO_USERS struct users files = { 0 };
    const char *interpreter = NULL, *user = NULL;
    json_t *env = NULL;
    struct user who;
    struct err e;

    if (http_body_all(c, &text) < 0) {
        (void)reply_error(c, 400, "the request body cannot be read");
        return;
    }
    AUTO_JSON json_t *body = json_parse(buf_str(&text), &e);
    if (!json_is_object(body) ||
        json_get_str(body, "interpreter", USER_NAME_MAX - 1, &interpreter, &e) < 0 ||
        json_get_str(body, "defaultUser", USER_NAME_MAX - 1, &user, &e) < 0 ||
        json_get_str_map(body, "envVars", SETTINGS_ENV_PAIRS, SETTINGS_ENV_BYTES, &env, &e) <
            0 ||
        !interpreter || strcmp(interpreter, "python3") != 0) {
        (void)reply_error(c, 400,
                          "give an interpreter (python3), and a user and envVars if there are");
        return;
    }
    users_load(&files);
    if (users_by_name(&files, str_from(user && user[0] ? user : "user"), &who) == 0) {
        AUTO_JSON json_t *all = process_environment(a, &who, env);
        char **envp = all ? process_env_strings(all) : NULL;
        if (envp) {
            warm_arm(a->warm, &who, envp);
            loop_wake(&a->loop);
        }
    }
    (void)reply_empty(c, 204,
                      NULL); /* an image without that user or interpreter has none that waits */
}

/* --- routing --- */

enum access { ACCESS_OPEN, ACCESS_TOKEN, ACCESS_READ_FILE, ACCESS_WRITE_FILE };

static const struct route {
    const char *method, *path;
    enum access access;
    void (*serve)(struct app *a, struct http_conn *c);
} ROUTES[] = {
    { "GET", "/health", ACCESS_OPEN, health },
    { "HEAD", "/health", ACCESS_OPEN, health },
    { "POST", "/init", ACCESS_OPEN,
      init }, /* checks the token itself, under the lock that guards it */
    { "POST", "/warm", ACCESS_TOKEN, warm },
    { "GET", "/envs", ACCESS_TOKEN, envs },
    { "GET", "/metrics", ACCESS_TOKEN, metrics },
    { "GET", "/files", ACCESS_READ_FILE, files_download },
    { "HEAD", "/files", ACCESS_READ_FILE, files_download },
    { "POST", "/files", ACCESS_WRITE_FILE, files_upload },
    { "POST", "/files/compose", ACCESS_TOKEN, files_compose },
};

static const char *check_access(struct app *a, struct http_conn *c, enum access access)
{
    uint64_t now_s = clock_real_ns() / NS_PER_S;

    switch (access) {
    case ACCESS_OPEN:
        return NULL;
    case ACCESS_READ_FILE:
        return auth_check_file(&a->settings, c, "read", now_s);
    case ACCESS_WRITE_FILE:
        return auth_check_file(&a->settings, c, "write", now_s);
    case ACCESS_TOKEN:
    default:
        return auth_check(&a->settings, c);
    }
}

static void preflight(struct http_conn *c)
{
    (void)http_reply(c, 204, NULL,
                     "Access-Control-Allow-Origin: *\r\n"
                     "Access-Control-Allow-Methods: GET, POST, PUT, DELETE, HEAD, PATCH\r\n"
                     "Access-Control-Allow-Headers: *, Authorization\r\n"
                     "Access-Control-Max-Age: 7200\r\n"
                     "Vary: Origin\r\n",
                     (struct str){ NULL, 0 });
}

/* The route, or NULL with the methods that the path does know in allow ("" if the path is unknown). */
static const struct route *find_route(struct str method, struct str path, char allow[64])
{
    size_t n = 0;

    allow[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(ROUTES); i++) {
        if (!str_eq(path, str_from(ROUTES[i].path)))
            continue;
        if (str_eq(method, str_from(ROUTES[i].method)))
            return &ROUTES[i];
        int w = snprintf(allow + n, 64 - n, "%s%s", n ? ", " : "", ROUTES[i].method);
        n += w > 0 && (size_t)w < 64 - n ? (size_t)w : 0;
    }
    return NULL;
}

static void serve_route(struct app *a, struct http_conn *c, struct str path)
{
    char allow[64], header[80];
    const struct route *r = find_route(http_head(c)->method, path, allow);

    if (r) {
        const char *refused = check_access(a, c, r->access);
        if (refused)
            (void)reply_error(c, 401, "%s", refused);
        else
            r->serve(a, c);
        return;
    }
    if (allow[0]) {
        (void)snprintf(header, sizeof header, "Allow: %s\r\n", allow);
        (void)reply_json(c, 405, header,
                         STR("{\"code\":405,\"message\":\"method not allowed\"}"));
        return;
    }
    (void)reply_error(c, 404, "path not found");
}

void app_serve(struct http_conn *c, void *app)
{
    struct app *a = app;
    struct str path = http_path(c);
    const struct rpc_method *m;

    if (str_eq(http_head(c)->method, STR("OPTIONS"))) {
        preflight(c);
        return;
    }
    m = process_rpc_find(path);
    if (!m)
        m = filesystem_rpc_find(path);
    if (!m) {
        serve_route(a, c, path);
        return;
    }
    const char *refused = auth_check(&a->settings, c);
    if (refused)
        (void)reply_error(c, 401, "%s", refused);
    else
        rpc_serve(c, a, m);
}

bool app_is_urgent(const struct http1_head *head, void *app)
{
    static const char *const urgent[] = { "/health", "/process.Process/SendSignal",
                                          "/process.Process/List" };
    struct str path, query;

    (void)app;
    (void)str_cut(head->target, '?', &path, &query);
    for (size_t i = 0; i < ARRAY_LEN(urgent); i++)
        if (str_eq(path, str_from(urgent[i])))
            return true;
    return false;
}
