/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of the whole record that `audit verify --dir` takes, with a list of digests as sha256sum(1) reads it. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/buf.h"
#include "firebreak/audit.h"
#include "firebreak/cli.h"

#define FILE_MAX (1u << 30)

struct copy {
    int to_fd;
    FILE *sums;
    uint64_t files, bytes;
};

static int read_all(int fd, struct buf *out)
{
    for (;;) {
        char *room = buf_reserve(out, 1u << 16);
        ssize_t n = room ? read(fd, room, 1u << 16) : -1;
        if (!room)
            return -out->failed;
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        out->n += (size_t)n;
    }
}

static int write_all(int fd, struct str s)
{
    while (s.n > 0) {
        ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            s = str_sub(s, (size_t)n, s.n);
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int copy_file(struct copy *c, int from, int to, const char *dir, const char *name)
{
    AUTO_BUF struct buf b = BUF_INIT(FILE_MAX);
    char hex[SHA256_HEX + 1];
    AUTO_CLOSE int in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    AUTO_CLOSE int out =
        in < 0 ? -1 : openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

    if (out < 0)
        return -errno;
    int rc = read_all(in, &b);
    if (rc == 0)
        rc = write_all(out, buf_str(&b));
    const struct sha256 d = sha256_of(buf_str(&b));
    sha256_to_hex(&d, hex);
    (void)fprintf(c->sums, "%s  %s%s%s\n", hex, dir, *dir ? "/" : "",
                  name); /* ferror is asked */
    c->files++;
    c->bytes += b.n;
    return rc;
}

static bool is_ours(const char *name)
{
    struct segment s;
    return segment_parse(str_from(name), &s) || strncmp(name, "cut-", 4) == 0;
}

static int make_dirs(int at, const char *path)
{
    char part[64];

    for (size_t i = 0; path[i] && i < sizeof part; i++)
        if (path[i] == '/') {
            (void)snprintf(part, sizeof part, "%.*s", (int)i, path);
            if (mkdirat(at, part, 0750) < 0 && errno != EEXIST)
                return -errno;
        }
    return mkdirat(at, path, 0750) < 0 && errno != EEXIST ? -errno : 0;
}

static int copy_dir(struct copy *c, int from_fd, const char *path)
{
    int from = openat(from_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc = 0;

    if (from < 0)
        return errno == ENOENT ? 0 : -errno;
    DIR *d = fdopendir(from);
    if (!d) {
        (void)close(from);
        return -ENOMEM;
    }
    rc = make_dirs(c->to_fd, path);
    AUTO_CLOSE int to = openat(c->to_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (rc == 0 && to < 0)
        rc = -errno;
    for (const struct dirent *f = readdir(d); f && rc == 0; f = readdir(d))
        if (is_ours(f->d_name))
            rc = copy_file(c, dirfd(d), to, path, f->d_name);
    (void)closedir(d);
    return rc;
}

static int copy_all(struct copy *c, const struct audit_options *o)
{
    char path[64];
    int rc = copy_file(c, o->dir_fd, c->to_fd, "", "key.pub");

    /* Heads first, as verify reads them: lines are then at least as many as they say. */
    if (rc == 0)
        rc = copy_dir(c, o->dir_fd, "heads");
    for (unsigned i = 0; rc == 0 && i < AUDIT_STREAMS; i++) {
        (void)snprintf(path, sizeof path, "%s/%ud", audit_job_text(audit_stream_job(i)),
                       audit_stream_days(i));
        rc = copy_dir(c, o->dir_fd, path);
    }
    return rc;
}

int audit_export(const struct audit_options *o)
{
    struct copy c = { .to_fd = -1 };
    struct err e = { 0 };

    if (mkdir(o->out, 0750) < 0) {
        (void)err_set(&e, errno, "make '%s'", o->out);
        return cli_fail(&e, "name a directory that is not there yet");
    }
    AUTO_CLOSE int to = open(o->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int sums =
        to < 0 ? -1 : openat(to, "SHA256SUMS", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    AUTO_FCLOSE FILE *f = sums < 0 ? NULL : fdopen(sums, "w");
    c.to_fd = to;
    c.sums = f;
    int rc = f ? copy_all(&c, o) : -errno;
    if (rc == 0 && (fflush(f) != 0 || ferror(f) || fsync(sums) < 0))
        rc = -EIO;
    if (rc < 0) {
        (void)err_set(&e, -rc, "copy the record to '%s'", o->out);
        return cli_fail(&e, NULL);
    }
    (void)printf("%llu files, %llu bytes in %s; firebreak audit verify --dir %s\n",
                 (unsigned long long)c.files, (unsigned long long)c.bytes, o->out, o->out);
    return cli_finish_stdout(CLI_OK);
}
