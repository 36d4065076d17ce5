/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/rand.h"
#include "recorder/trail.h"

#define HEX_LINE (2 * ED25519_SEED + 1) /* digits and a line feed */

static int write_hex(int dir_fd, const char *name, const uint8_t *p, mode_t mode)
{
    char text[HEX_LINE + 1];
    AUTO_CLOSE int fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);

    hex_encode(p, ED25519_SEED, text);
    text[HEX_LINE - 1] = '\n';
    int rc =
        fd < 0 || fchmod(fd, mode) < 0 || write(fd, text, HEX_LINE) != HEX_LINE || fsync(fd) < 0
            ? -errno
            : 0;
    explicit_bzero(text, sizeof text);
    return rc;
}

static int read_seed(int fd, uint8_t seed[ED25519_SEED], struct err *e)
{
    char text[HEX_LINE + 1] = "";
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 077))
        return err_say(e, EPERM,
                       "the key of the record must be a file of uid %u with mode 0600",
                       geteuid());
    ssize_t n = read(fd, text, HEX_LINE);
    int rc = n == HEX_LINE && text[HEX_LINE - 1] == '\n'
                 ? hex_decode((struct str){ text, HEX_LINE - 1 }, seed, ED25519_SEED)
                 : -EINVAL;
    explicit_bzero(text, sizeof text);
    return rc < 0 ? err_say(e, EINVAL, "the key of the record must be 64 hexadecimal digits")
                  : 0;
}

int sign_open(struct trail *t, struct err *e)
{
    uint8_t key[ED25519_KEY];
    AUTO_CLOSE int fd = openat(t->dir_fd, "key", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int rc = 0;

    if (fd >= 0) {
        if (read_seed(fd, t->seed, e) < 0)
            return -e->code;
    } else if (errno != ENOENT) {
        return err_set(e, errno, "open the key of the record");
    } else {
        rand_bytes(t->seed, sizeof t->seed);
        rc = write_hex(t->dir_fd, "key", t->seed, 0600);
    }
    ed25519_public(t->seed, key);
    if (rc == 0)
        rc = write_hex(t->dir_fd, "key.pub", key, 0644);
    return rc < 0 ? err_set(e, -rc, "write the key of the record") : 0;
}

int sign_head(struct trail *t, uint64_t real_ns)
{
    struct audit_head h = { .real_ns = real_ns };
    struct segment today = { segment_day(real_ns), 0 };
    AUTO_BUF struct buf line = BUF_INIT(AUDIT_HEAD_MAX + 1);
    char name[SEGMENT_NAME];

    for (unsigned i = 0; i < AUDIT_STREAMS; i++) {
        const struct trail_stream *s = &t->stream[i];
        if (s->seq > 0 && s->first_seq > 0)
            h.stream[i] =
                (struct audit_point){ s->first_seq, s->first_prev, s->seq, s->hash, real_ns };
    }
    int rc = audit_head_write(&h, t->seed, &line);
    if (rc < 0)
        return rc;
    buf_add_char(&line, '\n');
    if (segment_compare(&today, &t->heads) >
        0) /* a clock that was set back opens no older file */
        t->heads = today;
    segment_name(&t->heads, name);
    AUTO_CLOSE int fd =
        openat(t->heads_fd, name, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
    off_t at = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (at < 0)
        return -errno;
    ssize_t n = write(fd, line.p, line.n);
    if (n != (ssize_t)line.n || fdatasync(fd) < 0 || fsync(t->heads_fd) < 0) {
        rc = n >= 0 && n < (ssize_t)line.n ? -ENOSPC : -errno;
        (void)!ftruncate(fd, at); /* else it is a torn end, which the next start cuts off */
        return rc;
    }
    t->head_ns = real_ns;
    t->heads_are_old = false;
    return 0;
}
