/* SPDX-License-Identifier: Apache-2.0 */
#include "record/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"

#define FILES_MAX 8192u
#define FILE_MAX  (1u << 30) /* bytes; the recorder begins another file long before */
#define HEADS_MAX (1u << 20)

static int list(int dir_fd, struct segment *out)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    size_t n = 0;

    if (!d) {
        int saved = errno;
        if (fd >= 0)
            (void)close(fd);
        return -saved;
    }
    for (const struct dirent *f = readdir(d); f && n < FILES_MAX; f = readdir(d))
        n += segment_parse(str_from(f->d_name), &out[n]);
    (void)closedir(d);
    qsort(out, n, sizeof *out, segment_compare);
    return (int)n;
}

static int read_from(int dir_fd, const struct segment *g, uint64_t offset, struct buf *out)
{
    char name[SEGMENT_NAME];
    struct stat st;

    segment_name(g, name);
    AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno; /* it has just been purged */
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return -EINVAL;
    while (offset < (uint64_t)st.st_size) {
        char *room = buf_reserve(out, 1u << 16);
        if (!room)
            return -out->failed;
        ssize_t n = pread(fd, room, 1u << 16, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        out->n += (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

/* The lines of one file. False: the walk ends. */
static bool walk_file(struct audit_seen *l, struct audit_place *at, struct str left,
                      bool (*fn)(const struct audit_seen *l, void *arg), void *arg,
                      uint64_t *tail)
{
    bool go = true;

    while (go && str_cut(left, '\n', &l->text, &left)) {
        at->offset += l->text.n + 1;
        go = fn(l, arg);
    }
    *tail = go ? l->text.n : 0;
    return go;
}

static int walk(int fd, unsigned stream, struct audit_place *at,
                bool (*fn)(const struct audit_seen *l, void *arg), void *arg, uint64_t *tail)
{
    AUTO_FREE struct segment *g = calloc(FILES_MAX, sizeof *g);
    int n = g ? list(fd, g) : -ENOMEM;

    for (int i = 0; i < n; i++) {
        AUTO_BUF struct buf b = BUF_INIT(FILE_MAX);
        struct audit_seen l = { stream, &g[i], { 0 } };
        int order = at->is_begun ? segment_compare(&g[i], &at->segment) : 1;
        if (order < 0)
            continue;
        if (order > 0)
            *at = (struct audit_place){ g[i], true, 0 };
        int rc = read_from(fd, &g[i], at->offset, &b);
        if (rc < 0)
            return rc;
        if (!walk_file(&l, at, buf_str(&b), fn, arg, tail))
            return 0;
    }
    return n < 0 ? n : 0;
}

int audit_walk(int dir_fd, unsigned stream, struct audit_place *at,
               bool (*fn)(const struct audit_seen *l, void *arg), void *arg, uint64_t *tail,
               struct err *e)
{
    char path[64];
    uint64_t ignored;

    if (stream == AUDIT_HEADS_STREAM)
        (void)snprintf(path, sizeof path, "heads");
    else
        (void)snprintf(path, sizeof path, "%s/%ud", audit_job_text(audit_stream_job(stream)),
                       audit_stream_days(stream));
    AUTO_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (!tail)
        tail = &ignored;
    *tail = 0;
    if (fd < 0)
        return errno == ENOENT ? 0 : err_set(e, errno, "open '%s'", path);
    int rc = walk(fd, stream, at, fn, arg, tail);
    return rc < 0 ? err_set(e, -rc, "read '%s'", path) : 0;
}

/* --- heads --- */

struct heads_reader {
    struct audit_heads *out;
    const uint8_t *key;
    size_t cap;
    int rc;
};

static bool take_head(const struct audit_seen *l, void *arg)
{
    struct heads_reader *r = arg;
    struct audit_heads *h = r->out;
    char name[SEGMENT_NAME];

    if (h->n == r->cap) {
        size_t cap = r->cap > 0 ? r->cap * 2 : 64;
        struct audit_head *more =
            cap <= HEADS_MAX ? realloc(h->head, cap * sizeof *more) : NULL;
        if (!more) {
            r->rc = -ENOMEM;
            return false;
        }
        h->head = more;
        r->cap = cap;
    }
    int rc = audit_head_read(l->text, &h->head[h->n]);
    bool known = rc == 0 && memcmp(h->head[h->n].key, r->key, ED25519_KEY) == 0;
    if (known) {
        h->n++;
    } else if (!h->bad[0]) {
        segment_name(l->segment, name);
        (void)snprintf(h->bad, sizeof h->bad, "a line of heads/%s %s", name,
                       rc == 0          ? "is signed by another key"
                       : rc == -EBADMSG ? "has a wrong signature"
                                        : "is no head");
    }
    return true;
}

int audit_heads_read(int dir_fd, const uint8_t key[ED25519_KEY], struct audit_heads *out,
                     struct err *e)
{
    struct heads_reader r = { .out = out, .key = key };
    struct audit_place at = { 0 };

    *out = (struct audit_heads){ 0 };
    int rc = audit_walk(dir_fd, AUDIT_HEADS_STREAM, &at, take_head, &r, NULL, e);
    if (rc < 0)
        return rc;
    return r.rc < 0 ? err_set(e, -r.rc, "read 'heads'") : 0;
}

void audit_heads_fini(struct audit_heads *h)
{
    free(h->head);
    h->head = NULL;
}

int audit_key_read(int dir_fd, const char *path, uint8_t key[ED25519_KEY], struct err *e)
{
    char text[2 * ED25519_KEY + 2];
    AUTO_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (n < 0)
        return err_set(e, errno, "read the public key '%s'", path);
    struct str line = { text, (size_t)n };
    if (line.n > 0 && line.p[line.n - 1] == '\n')
        line.n--;
    if (hex_decode(line, key, ED25519_KEY) < 0)
        return err_say(e, EINVAL, "'%s' must hold 64 hexadecimal digits", path);
    return 0;
}
