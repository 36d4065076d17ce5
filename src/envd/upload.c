/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "codec/json.h"
#include "codec/multipart.h"
#include "codec/url.h"
#include "envd/body.h"
#include "envd/files.h"
#include "envd/metadata.h"
#include "envd/paths.h"
#include "envd/reply.h"

/* --- shared --- */

int files_user(struct app *a, struct http_conn *c, struct str name, struct user *out)
{
    AUTO_USERS struct users files = { 0 };
    char fallback[USER_NAME_MAX];

    users_load(&files);
    settings_default_user(&a->settings, fallback);
    if (name.n == 0)
        name = str_from(fallback);
    if (users_by_name(&files, name, out) == 0)
        return 0;
    (void)reply_error(c, 401, "error looking up user '%.*s': unknown user", (int)name.n,
                      name.p);
    return -ENOENT;
}

int files_resolve(struct app *a, struct http_conn *c, struct str path, const struct user *who,
                  char *out)
{
    char workdir[PATHS_MAX];

    settings_default_workdir(&a->settings, workdir);
    int rc = paths_resolve(path, who->home, workdir, out);
    if (rc < 0)
        (void)reply_error(
            c, 400, "error resolving path '%.*s': %s", (int)(path.n < 256 ? path.n : 256),
            path.p, rc == -ENAMETOOLONG ? "too long" : "cannot expand user-specific home");
    return rc;
}

void files_fail(struct http_conn *c, int code, const char *path)
{
    switch (code) {
    case ENOSPC:
    case EDQUOT:
        (void)reply_error(c, 507, "not enough disk space available");
        return;
    case EISDIR:
        (void)reply_error(c, 400, "path is a directory: %s", path);
        return;
    case EINVAL: /* files_create */
    case ENXIO:
        (void)reply_error(c, 400, "path is not a regular file: %s", path);
        return;
    case ENAMETOOLONG:
    case ENOTDIR:
    case ELOOP:
        (void)reply_error(c, 400, "path '%s': %s", path, strerror(code));
        return;
    case EACCES:
    case EPERM:
    case EROFS:
        (void)reply_error(c, 403, "path '%s': %s", path, strerror(code));
        return;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        (void)reply_error(c, 503, "path '%s': %s", path, strerror(code));
        return;
    default:
        (void)reply_error(c, 500, "path '%s': %s", path, strerror(code));
    }
}

void files_result(const char *path, json_t *metadata, struct buf *out)
{
    buf_add_cstr(out, "{\"path\":");
    json_write_str(out, str_from(path));
    buf_add_cstr(out, ",\"name\":");
    json_write_str(out, paths_base(str_from(path)));
    buf_add_cstr(out, ",\"type\":\"file\"");
    if (json_object_size(metadata) > 0) {
        buf_add_cstr(out, ",\"metadata\":");
        (void)json_write(out, metadata); /* out remembers a failure */
    }
    buf_add_char(out, '}');
}

int files_create(const char *path, const struct user *who, bool *made)
{
    const int how = O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    char parent[PATHS_MAX];
    struct stat st;

    paths_parent(path, parent);
    int rc = paths_make_dirs(parent, who->uid, who->gid);
    if (rc < 0)
        return rc;
    *made = true;
    AUTO_CLOSE int fd = open(path, how | O_EXCL, 0666);
    if (fd < 0 && errno == EEXIST) {
        *made = false;
        fd = open(path, how, 0666);
    }
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (ftruncate(fd, 0) < 0)
        return -errno;
    (void)!fchown(fd, who->uid, who->gid); /* not root (tests): it is ours already */
    return fd_steal(&fd);
}

/* --- POST /files --- */

struct upload {
    struct app *app;
    struct http_conn *conn;
    struct user who;
    struct buf path; /* of the query, decoded; empty if has_path is false */
    bool has_path;
    json_t *metadata;
    json_t *seen; /* resolved paths of this request, as keys */
    struct buf result;
    /* the file that is being written */
    int fd;
    bool made;
    char target[PATHS_MAX];
};

static void upload_fini(struct upload *u)
{
    buf_fini(&u->path);
    buf_fini(&u->result);
    json_decref(u->metadata);
    json_decref(u->seen);
    if (u->fd >= 0) {
        (void)close(u->fd);
        warm_dirty_path(u->app->warm, u->target);
    }
}

/* Each step returns 0, or -1 after the request has been answered. */

static int open_target(struct upload *u, struct str asked)
{
    if (files_resolve(u->app, u->conn, asked, &u->who, u->target) < 0)
        return -1;
    if (json_object_get(u->seen, u->target)) {
        (void)reply_error(
            u->conn, 400,
            "you cannot upload multiple files to the same path '%s' in one upload "
            "request, only the first specified file was uploaded",
            u->target);
        return -1;
    }
    warm_dirty_path(u->app->warm, u->target);
    int fd = json_object_set_new_nocheck(u->seen, u->target, json_true()) < 0
                 ? -ENOMEM
                 : files_create(u->target, &u->who, &u->made);
    if (fd < 0) {
        files_fail(u->conn, -fd, u->target);
        return -1;
    }
    u->fd = fd;
    return 0;
}

static int fail_write(struct upload *u, int code)
{
    if (u->made) /* part of a file that nobody had before is of no use, and takes the space that is missing */
        (void)unlink(u->target);
    if (u->fd >= 0) /* and it is free before the client hears of it */
        (void)close(fd_steal(&u->fd));
    files_fail(u->conn, code, u->target);
    return -1;
}

static int write_target(struct upload *u, struct str data)
{
    while (data.n > 0) {
        ssize_t n = write(u->fd, data.p, data.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_write(u, errno);
        data = str_sub(data, (size_t)n, data.n);
    }
    return 0;
}

static int close_target(struct upload *u)
{
    int rc = metadata_replace(u->fd, u->metadata);

    if (rc < 0)
        return fail_write(u, -rc);
    int closed = close(fd_steal(&u->fd));
    warm_dirty_path(u->app->warm, u->target); /* again: it may have taken long */
    if (closed < 0)
        return fail_write(u, errno);
    buf_add_cstr(&u->result, u->result.n > 0 ? "," : "[");
    files_result(u->target, u->metadata, &u->result);
    if (!buf_ok(&u->result)) {
        (void)reply_error(u->conn, 400, "too many files in one request");
        return -1;
    }
    return 0;
}

static int fail_body(struct upload *u, long rc)
{
    if (rc == -EBADMSG)
        (void)reply_error(u->conn, 400, "the body is not valid gzip");
    else if (rc == -ENOMEM)
        (void)reply_error(u->conn, 503, "out of memory");
    else if (rc == -ETIMEDOUT)
        (void)reply_error(u->conn, 408, "the body did not arrive in time");
    else
        (void)reply_error(u->conn, 400, "the request body cannot be read");
    return -1;
}

static int upload_raw(struct upload *u, struct body *body, char *chunk)
{
    long n;

    if (!u->has_path) {
        (void)reply_error(u->conn, 400, "path query parameter is required for raw body upload");
        return -1;
    }
    if (open_target(u, buf_str(&u->path)) < 0)
        return -1;
    while ((n = body_read(body, chunk, BODY_CHUNK)) > 0)
        if (write_target(u, (struct str){ chunk, (size_t)n }) < 0)
            return -1;
    return n < 0 ? fail_body(u, n) : close_target(u);
}

static int part_begins(struct upload *u, const struct multipart *m)
{
    if (strcmp(m->name, "file") != 0)
        return 0; /* its data goes nowhere */
    if (!u->has_path && (!m->has_filename || !m->filename[0])) {
        (void)reply_error(u->conn, 400,
                          "a file has no name: give 'filename' or the path query");
        return -1;
    }
    return open_target(u, u->has_path ? buf_str(&u->path) : str_from(m->filename));
}

/* Consumes one run of the body. 1 at the closing boundary, 0 if more is needed. */
static int feed(struct upload *u, struct multipart *m, struct str in)
{
    struct str data;

    for (;;) {
        switch (multipart_next(m, &in, &data)) {
        case MULTIPART_NEED_MORE:
            return 0;
        case MULTIPART_PART:
            if (part_begins(u, m) < 0)
                return -1;
            break;
        case MULTIPART_DATA:
            if (u->fd >= 0 && write_target(u, data) < 0)
                return -1;
            break;
        case MULTIPART_PART_END:
            if (u->fd >= 0 && close_target(u) < 0)
                return -1;
            break;
        case MULTIPART_END:
            return 1;
        case MULTIPART_BAD:
        default:
            (void)reply_error(u->conn, 400, "error parsing multipart form: %s", m->bad);
            return -1;
        }
    }
}

static int upload_multipart(struct upload *u, struct body *body, char *chunk)
{
    AUTO_FREE struct multipart *m = calloc(1, sizeof *m);
    bool ended = false;
    long n;

    if (!m)
        return fail_body(u, -ENOMEM);
    if (multipart_init(m, http1_get(http_head(u->conn), "Content-Type")) < 0) {
        (void)reply_error(u->conn, 400, "error parsing multipart form: no boundary");
        return -1;
    }
    while ((n = body_read(body, chunk, BODY_CHUNK)) > 0) {
        int rc = ended ? 0 : feed(u, m, (struct str){ chunk, (size_t)n });
        if (rc < 0)
            return -1;
        ended = ended || rc > 0;
    }
    if (n < 0)
        return fail_body(u, n);
    if (!ended) {
        (void)reply_error(u->conn, 400,
                          "error parsing multipart form: the last boundary is missing");
        return -1;
    }
    return 0;
}

static bool type_starts(struct str type, struct str want)
{
    struct str name, params;
    (void)str_cut(type, ';', &name, &params);
    return str_eq_nocase(str_trim(name), want);
}

static int receive(struct upload *u)
{
    AUTO_FREE char *chunk = malloc(BODY_CHUNK);
    AUTO_BODY struct body body = { 0 };
    struct str type = http1_get(http_head(u->conn), "Content-Type");

    int rc = chunk ? body_init(&body, u->conn) : -ENOMEM;
    if (rc == -EINVAL) {
        (void)reply_error(u->conn, 400, "unsupported content encoding: only gzip is served");
        return -1;
    }
    if (rc < 0)
        return fail_body(u, rc);
    if (type_starts(type, STR("multipart/form-data")))
        return upload_multipart(u, &body, chunk);
    if (type_starts(type, STR("application/octet-stream")))
        return upload_raw(u, &body, chunk);
    (void)reply_error(u->conn, 400, "unsupported content type: %.*s",
                      (int)(type.n < 200 ? type.n : 200), type.p ? type.p : "");
    return -1;
}

static int read_query(struct upload *u)
{
    AUTO_BUF struct buf user = BUF_INIT(USER_NAME_MAX);
    struct str query = http_query(u->conn);
    int rc = url_query_get(query, "path", &u->path);

    if (rc == -EINVAL || url_query_get(query, "username", &user) == -EINVAL ||
        !buf_ok(&u->path) || !buf_ok(&user)) {
        (void)reply_error(u->conn, 400, "the query is malformed or too long");
        return -1;
    }
    u->has_path = u->path.n > 0;
    return files_user(u->app, u->conn, buf_str(&user), &u->who);
}

void files_upload(struct app *a, struct http_conn *c)
{
    __attribute__((cleanup(upload_fini))) struct upload u = { .app = a,
                                                              .conn = c,
                                                              .path = BUF_INIT(PATHS_MAX),
                                                              .result =
                                                                  BUF_INIT(FILES_RESULT_MAX),
                                                              .seen = json_object(),
                                                              .fd = -1 };
    struct err e;

    if (read_query(&u) < 0)
        return;
    u.metadata = metadata_from_head(http_head(c), &e);
    if (!u.metadata) {
        (void)reply_error(c, e.code == EINVAL ? 400 : 503, "%s", e.text);
        return;
    }
    if (receive(&u) < 0)
        return;
    buf_add_cstr(&u.result, u.result.n > 0 ? "]" : "[]");
    (void)reply_json(c, 200, NULL,
                     buf_str(&u.result)); /* the client may be gone: the files stay */
}
