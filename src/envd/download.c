/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/num.h"
#include "codec/url.h"
#include "envd/files.h"
#include "envd/mime.h"
#include "envd/paths.h"
#include "envd/reply.h"

#define CHUNK    65536u
#define DATE_MAX 40

struct download {
    struct http_conn *conn;
    int fd;
    const char *path;
    uint64_t size;
    char modified[DATE_MAX]; /* as in Last-Modified */
    time_t modified_s;
    uint64_t from, n; /* the part to send */
    bool is_part;
};

static void http_date(time_t t, char out[DATE_MAX])
{
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(out, DATE_MAX, "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
        out[0] = '\0';
}

static struct str header(const struct http_conn *c, const char *name)
{
    return http1_get(http_head(c), name);
}

static bool not_modified(const struct download *d)
{
    char text[DATE_MAX];
    struct tm tm = { 0 };
    struct str since = header(d->conn, "If-Modified-Since");

    if (since.p == NULL || header(d->conn, "If-None-Match").p ||
        str_copy(since, text, sizeof text) < 0)
        return false;
    const char *end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return end && *end == '\0' && d->modified_s <= timegm(&tm);
}

/* "bytes=a-b", "bytes=a-", "bytes=-n": 1 and the part; 0 if there is none to honour (several, malformed: RFC 9110 lets a server
 * send the whole); -ERANGE if none of it exists. */
static int parse_range(struct str spec, uint64_t size, uint64_t *from, uint64_t *n)
{
    struct str first, last;
    uint64_t a, b;

    if (!str_starts(spec, STR("bytes=")))
        return 0;
    spec = str_trim(str_sub(spec, 6, spec.n));
    if (!str_cut(spec, '-', &first, &last))
        return 0;
    if (first.n == 0) {
        if (num_parse_u64(last, 0, UINT64_MAX, &b) < 0)
            return 0;
        if (b == 0 || size == 0)
            return -ERANGE;
        *n = b < size ? b : size;
        *from = size - *n;
        return 1;
    }
    if (num_parse_u64(first, 0, UINT64_MAX, &a) < 0)
        return 0;
    b = UINT64_MAX;
    if (last.n > 0 && (num_parse_u64(last, 0, UINT64_MAX, &b) < 0 || b < a))
        return 0;
    if (a >= size)
        return -ERANGE;
    *from = a;
    *n = b < size ? b - a + 1 : size - a;
    return 1;
}

static int choose_part(struct download *d)
{
    struct str range = header(d->conn, "Range"), condition = header(d->conn, "If-Range");

    d->from = 0;
    d->n = d->size;
    if (range.p == NULL || (condition.p && !str_eq(condition, str_from(d->modified))))
        return 0;
    int rc = parse_range(range, d->size, &d->from, &d->n);
    d->is_part = rc > 0;
    return rc;
}

/* Whether the client refuses the only coding we have. */
static bool refuses_identity(struct str accept)
{
    struct str one, name, params;
    bool identity_named = false, refused = false;

    while (accept.n > 0) {
        (void)str_cut(accept, ',', &one, &accept);
        (void)str_cut(str_trim(one), ';', &name, &params);
        params = str_trim(params);
        bool zero = str_eq(params, STR("q=0")) || str_eq(params, STR("q=0.0")) ||
                    str_eq(params, STR("q=0.00")) || str_eq(params, STR("q=0.000"));
        name = str_trim(name);
        if (str_eq_nocase(name, STR("identity"))) {
            identity_named = true;
            refused = zero;
        } else if (str_eq(name, STR("*")) && !identity_named) {
            refused = zero;
        }
    }
    return refused;
}

/* inline; filename="..." with quoting, and the RFC 8187 form for what is not plain ASCII. */
static void disposition(const char *path, struct buf *out)
{
    struct str name = paths_base(str_from(path));
    bool plain = true;

    for (size_t i = 0; i < name.n; i++)
        plain = plain && name.p[i] >= 0x20 && name.p[i] < 0x7f;
    if (!plain) {
        buf_add_cstr(out, "Content-Disposition: inline; filename*=utf-8''");
        url_encode(name, out);
    } else {
        buf_add_cstr(out, "Content-Disposition: inline; filename=\"");
        for (size_t i = 0; i < name.n; i++) {
            if (name.p[i] == '"' || name.p[i] == '\\')
                buf_add_char(out, '\\');
            buf_add_char(out, name.p[i]);
        }
        buf_add_char(out, '"');
    }
    buf_add_cstr(out, "\r\n");
}

/* Files that the kernel makes up as they are read: their size says nothing. */
static bool is_made_up(int fd, uint64_t size)
{
    struct statfs fs;

    if (size == 0)
        return true;
    if (fstatfs(fd, &fs) < 0)
        return false;
    switch ((unsigned long)fs.f_type) {
    case PROC_SUPER_MAGIC:
    case SYSFS_MAGIC:
    case CGROUP_SUPER_MAGIC:
    case CGROUP2_SUPER_MAGIC:
    case DEBUGFS_MAGIC:
    case TRACEFS_MAGIC:
        return true;
    default:
        return false;
    }
}

static void send_made_up(struct download *d, const char *type, const char *headers)
{
    AUTO_FREE char *bytes = malloc(CHUNK);
    ssize_t n = bytes ? read(d->fd, bytes, CHUNK) : -1;

    if (!bytes || (n < 0 && errno != EAGAIN)) {
        (void)reply_error(d->conn, 500, "error reading '%s'", d->path);
        return;
    }
    if (n <= 0) { /* clients look at Content-Length: 0 */
        (void)http_reply(d->conn, 200, type, headers, (struct str){ NULL, 0 });
        return;
    }
    if (http_reply_begin(d->conn, 200, type, headers, HTTP_LENGTH_UNKNOWN) < 0)
        return;
    do {
        if (http_write(d->conn, bytes, (size_t)n) < 0)
            return; /* the client is gone; an unfinished answer closes the connection */
        n = read(d->fd, bytes, CHUNK);
    } while (n > 0);
    if (n == 0 || errno == EAGAIN)
        (void)http_reply_end(d->conn);
}

static void send_file(struct download *d)
{
    AUTO_BUF struct buf headers = BUF_INIT(32768);
    char first[MIME_SNIFF_BYTES];

    ssize_t n = pread(d->fd, first, sizeof first, 0);
    const char *type =
        mime_type(str_from(d->path), (struct str){ first, n > 0 ? (size_t)n : 0 });
    buf_add_cstr(&headers, reply_cors(d->conn));
    disposition(d->path, &headers);
    buf_addf(&headers, "Vary: Accept-Encoding\r\nLast-Modified: %s\r\n", d->modified);
    if (is_made_up(d->fd, d->size)) {
        send_made_up(d, type, buf_cstr(&headers));
        return;
    }
    buf_add_cstr(&headers, "Accept-Ranges: bytes\r\n");
    if (not_modified(d)) {
        (void)http_reply(d->conn, 304, NULL, buf_cstr(&headers), (struct str){ NULL, 0 });
        return;
    }
    if (choose_part(d) < 0) {
        buf_addf(&headers, "Content-Range: bytes */%llu\r\n", (unsigned long long)d->size);
        (void)http_reply(d->conn, 416, NULL, buf_cstr(&headers), (struct str){ NULL, 0 });
        return;
    }
    if (d->is_part)
        buf_addf(&headers, "Content-Range: bytes %llu-%llu/%llu\r\n",
                 (unsigned long long)d->from, (unsigned long long)(d->from + d->n - 1),
                 (unsigned long long)d->size);
    if (http_reply_begin(d->conn, d->is_part ? 206 : 200, type, buf_cstr(&headers), d->n) < 0)
        return;
    bool is_head = str_eq(http_head(d->conn)->method, STR("HEAD"));
    if (is_head || http_write_file(d->conn, d->fd, d->from, d->n) == 0)
        (void)http_reply_end(
            d->conn); /* else it was cut off: the connection closes early, and the client sees it */
}

static void download(struct app *a, struct http_conn *c, struct str asked, struct str user)
{
    char path[PATHS_MAX];
    struct user who;
    struct stat st;

    if (files_user(a, c, user, &who) < 0 || files_resolve(a, c, asked, &who, path) < 0)
        return;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) {
        (void)reply_error(c, 404, "path '%s' does not exist", path);
        return;
    }
    if (fd < 0 && errno != ENXIO) { /* ENXIO: a socket, or a device without a driver */
        files_fail(c, errno, path);
        return;
    }
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)reply_error(c, 400,
                          fd >= 0 && S_ISDIR(st.st_mode) ? "path '%s' is a directory"
                                                         : "path '%s' is not a regular file",
                          path);
        return;
    }
    if (refuses_identity(header(c, "Accept-Encoding"))) {
        (void)reply_error(c, 406, "no acceptable encoding: only identity is served");
        return;
    }
    struct download d = { .conn = c,
                          .fd = fd,
                          .path = path,
                          .size = (uint64_t)st.st_size,
                          .modified_s = st.st_mtim.tv_sec };
    http_date(st.st_mtim.tv_sec, d.modified);
    send_file(&d);
}

void files_download(struct app *a, struct http_conn *c)
{
    AUTO_BUF struct buf path = BUF_INIT(PATHS_MAX);
    AUTO_BUF struct buf user = BUF_INIT(USER_NAME_MAX);
    struct str query = http_query(c);
    int rc = url_query_get(query, "path", &path);

    if (rc == -EINVAL || url_query_get(query, "username", &user) == -EINVAL || !buf_ok(&path) ||
        !buf_ok(&user)) {
        (void)reply_error(c, 400, "the query is malformed or too long");
        return;
    }
    download(a, c, buf_str(&path), buf_str(&user));
}
