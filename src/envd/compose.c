/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/rand.h"
#include "codec/json.h"
#include "envd/files.h"
#include "envd/metadata.h"
#include "envd/paths.h"
#include "envd/reply.h"
#include "envd/rpc.h"

#define SOURCES_MAX 1000u
#define CHUNK       65536u

/* One request: the parts of a big file, uploaded one by one, become that file. */
struct compose {
    struct app *app;
    struct http_conn *conn;
    struct user who;
    json_t *sources;           /* as asked */
    char (*source)[PATHS_MAX]; /* resolved; owned */
    size_t n_sources;
    char destination[PATHS_MAX];
    char partial
        [PATHS_MAX]; /* beside the destination, so that rename(2) can put it there in one step */
    int fd;          /* of it */
};

/* Each step returns 0, or -1 after the request has been answered. */

static int read_request(struct compose *q, const json_t *body)
{
    const char *destination = NULL, *user = NULL;
    json_t *one;
    size_t i;
    struct err e;

    if (json_get_array(body, "source_paths", &q->sources, &e) < 0 ||
        json_get_str(body, "destination", PATHS_MAX - 1, &destination, &e) < 0 ||
        json_get_str(body, "username", USER_NAME_MAX - 1, &user, &e) < 0)
        return reply_error(q->conn, 400, "%s", e.text), -1;
    q->n_sources = json_array_size(q->sources);
    if (q->n_sources == 0 || q->n_sources > SOURCES_MAX || !destination || !destination[0])
        return reply_error(q->conn, 400, "give a destination and 1 to %u source_paths",
                           SOURCES_MAX),
               -1;
    if (files_user(q->app, q->conn, str_from(user), &q->who) < 0 ||
        files_resolve(q->app, q->conn, str_from(destination), &q->who, q->destination) < 0)
        return -1;
    q->source = calloc(q->n_sources, sizeof *q->source);
    if (!q->source)
        return reply_error(q->conn, 503, "out of memory"), -1;
    json_array_foreach(q->sources, i, one)
    {
        if (!json_is_string(one))
            return reply_error(q->conn, 400, "field 'source_paths' must hold strings only"), -1;
        if (files_resolve(q->app, q->conn, str_from(json_string_value(one)), &q->who,
                          q->source[i]) < 0)
            return -1;
    }
    return 0;
}

static int open_partial(struct compose *q)
{
    char parent[PATHS_MAX], id[13], name[32];
    struct stat st;
    bool made;

    if (stat(q->destination, &st) == 0 && !S_ISREG(st.st_mode))
        return files_fail(q->conn, S_ISDIR(st.st_mode) ? EISDIR : EINVAL, q->destination), -1;
    paths_parent(q->destination, parent);
    rand_id(id, sizeof id - 1);
    (void)snprintf(name, sizeof name, ".compose-%s", id);
    int rc = paths_join(parent, str_from(name), q->partial);
    if (rc == 0)
        rc = files_create(q->partial, &q->who, &made);
    if (rc < 0) {
        q->partial[0] = '\0';
        return files_fail(q->conn, -rc, q->destination), -1;
    }
    q->fd = rc;
    return 0;
}

static int copy(int from, int to)
{
    AUTO_FREE char *chunk = malloc(CHUNK);

    if (!chunk)
        return -ENOMEM;
    for (;;) {
        ssize_t n = read(from, chunk, CHUNK);
        if (n <= 0)
            return n < 0 ? -errno : 0;
        for (ssize_t at = 0; at < n;) {
            ssize_t w = write(to, chunk + at, (size_t)(n - at));
            if (w < 0)
                return -errno;
            at += w;
        }
    }
}

static int append_source(struct compose *q, const char *path)
{
    struct stat st;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return reply_error(q->conn, 404, "path '%s' does not exist", path), -1;
    if (fd < 0)
        return files_fail(q->conn, errno, path), -1;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return files_fail(q->conn, S_ISDIR(st.st_mode) ? EISDIR : EINVAL, path), -1;
    int rc = copy(fd, q->fd);
    return rc < 0 ? files_fail(q->conn, -rc, path), -1 : 0;
}

static int run(struct compose *q)
{
    AUTO_BUF struct buf result = BUF_INIT(FILES_RESULT_MAX);

    if (open_partial(q) < 0)
        return -1;
    for (size_t i = 0; i < q->n_sources; i++)
        if (append_source(q, q->source[i]) < 0)
            return -1;
    if (rename(q->partial, q->destination) < 0)
        return files_fail(q->conn, errno, q->destination), -1;
    q->partial[0] = '\0';
    warm_dirty(q->app->warm); /* files came and went */
    for (size_t i = 0; i < q->n_sources; i++)
        if (strcmp(q->source[i], q->destination) != 0)
            (void)unlink(q->source[i]); /* the file is whole; a part that stays harms nobody */
    files_result(q->destination, NULL, &result);
    (void)reply_json(q->conn, 200, NULL, buf_str(&result));
    return 0;
}

static void compose_fini(struct compose *q)
{
    if (q->fd >= 0)
        (void)close(q->fd);
    if (q->partial[0])
        (void)unlink(q->partial);
    free(q->source);
}

void files_compose(struct app *a, struct http_conn *c)
{
    AUTO_BUF struct buf text = BUF_INIT(RPC_BODY_MAX);
    __attribute__((cleanup(compose_fini))) struct compose q = { .app = a, .conn = c, .fd = -1 };
    struct err e;

    if (http_body_all(c, &text) < 0) {
        (void)reply_error(c, 400, "the request body cannot be read");
        return;
    }
    AUTO_JSON json_t *body = json_parse(buf_str(&text), &e);
    if (!json_is_object(body)) {
        (void)reply_error(c, 400, "the body must be a JSON object");
        return;
    }
    if (read_request(&q, body) == 0)
        (void)run(&q); /* answered either way */
}
