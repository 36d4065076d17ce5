/* SPDX-License-Identifier: Apache-2.0 */
#include "recorder/trail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/line.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"

#define FILES_MAX    4096u /* of one stream */
#define CUT_KEPT_MAX (1u << 20)
#define CLOCK_SLACK  (NS_PER_S)
#define CLOCK_PAST   (86400 * NS_PER_S) /* what waited longer than this is dated when it came */

/* --- files --- */

static int open_dir(int at, const char *name, bool make)
{
    if (make && mkdirat(at, name, 0750) == 0)
        (void)fsync(at); /* a directory that is lost with the power is made again */
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int open_stream_dir(struct trail *t, unsigned i, bool make)
{
    char keep[16];
    struct trail_stream *s = &t->stream[i];

    if (s->dir_fd >= 0)
        return 0;
    AUTO_CLOSE int job = open_dir(t->dir_fd, audit_job_text(audit_stream_job(i)), make);
    if (job < 0)
        return job;
    (void)snprintf(keep, sizeof keep, "%ud", audit_stream_days(i));
    int fd = open_dir(job, keep, make);
    if (fd < 0)
        return fd;
    s->dir_fd = fd;
    return 0;
}

/* The segments of a directory in order. Returns how many, or -errno. */
static int list(int dir_fd, struct segment *out, size_t max)
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
    for (const struct dirent *f = readdir(d); f && n < max; f = readdir(d))
        n += segment_parse(str_from(f->d_name), &out[n]);
    (void)closedir(d);
    qsort(out, n, sizeof *out, segment_compare);
    return (int)n;
}

static int open_segment(const struct trail_stream *s, const struct segment *g, int flags)
{
    char name[SEGMENT_NAME];

    segment_name(g, name);
    int fd = openat(s->dir_fd, name, flags | O_NOFOLLOW | O_CLOEXEC, 0640);
    return fd < 0 ? -errno : fd;
}

static int read_all(int fd, struct buf *out)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    for (off_t at = 0; at < st.st_size;) {
        char *room = buf_reserve(out, 1u << 16);
        if (!room)
            return -out->failed;
        ssize_t n = pread(fd, room, 1u << 16, at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : 0;
        out->n += (size_t)n;
        at += n;
    }
    return 0;
}

/* --- request ids --- */

static void remember(void *arg, const char *request_id)
{
    struct trail *t = arg;

    (void)snprintf(t->seen[t->next_seen], TRAIL_REQUEST_ID, "%.*s", (int)TRAIL_REQUEST_ID - 1,
                   request_id);
    t->next_seen = (t->next_seen + 1) % TRAIL_SEEN;
}

bool trail_has_seen(const struct trail *t, const char *request_id)
{
    for (unsigned i = 0; request_id[0] && i < TRAIL_SEEN; i++)
        if (strncmp(t->seen[i], request_id, TRAIL_REQUEST_ID - 1) == 0)
            return true;
    return false;
}

static void forget(struct trail *t, const char *request_id)
{
    for (unsigned i = 0; request_id[0] && i < TRAIL_SEEN; i++)
        if (strncmp(t->seen[i], request_id, TRAIL_REQUEST_ID - 1) == 0)
            t->seen[i][0] = 0;
}

/* --- recovery --- */

/* What does not belong to the chain any more is kept, for whoever wants to know what it was. */
static int keep_cut(const struct trail_stream *s, const struct segment *g, struct str bytes)
{
    char name[80], of[SEGMENT_NAME];
    int fd = -EEXIST;

    segment_name(g, of);
    for (unsigned i = 1; fd == -EEXIST && i < 1000; i++) {
        (void)snprintf(name, sizeof name, "cut-%s.%u", of, i);
        fd =
            openat(s->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
        if (fd < 0)
            fd = -errno;
    }
    if (fd < 0)
        return fd;
    size_t n = bytes.n < CUT_KEPT_MAX ? bytes.n : CUT_KEPT_MAX;
    int rc = write(fd, bytes.p, n) != (ssize_t)n || fsync(fd) < 0 ? -errno : 0;
    (void)close(fd);
    return rc;
}

/* One segment: where its chain ends; the rest is cut off. */
static int recover_segment(struct trail *t, struct trail_stream *s, const struct segment *g,
                           struct trail_scan *scan)
{
    AUTO_BUF struct buf b = BUF_INIT((size_t)4 * TRAIL_SEGMENT_MAX);
    AUTO_CLOSE int fd = open_segment(s, g, O_RDWR);

    if (fd < 0)
        return fd;
    int rc = read_all(fd, &b);
    if (rc < 0)
        return rc;
    trail_scan(buf_str(&b), scan, remember, t);
    if (scan->bytes == b.n)
        return 0;
    rc = keep_cut(s, g, str_sub(buf_str(&b), scan->bytes, b.n));
    if (rc == 0 && (ftruncate(fd, (off_t)scan->bytes) < 0 || fsync(fd) < 0))
        rc = -errno;
    s->cut = *g;
    s->cut_bytes += b.n - scan->bytes;
    s->cut_records += scan->whole_after;
    return rc;
}

static void first_of(struct trail_stream *s, const struct segment *g, size_t n)
{
    struct audit_line l;
    struct str text, rest;

    for (size_t i = 0; i < n && s->first_seq == 0; i++) {
        char head[AUDIT_LINE_MAX + 1];
        AUTO_CLOSE int fd = open_segment(s, &g[i], O_RDONLY);
        ssize_t got = fd < 0 ? -1 : pread(fd, head, sizeof head, 0);
        if (got <= 0 || !str_cut((struct str){ head, (size_t)got }, '\n', &text, &rest) ||
            audit_line_read(text, &l) < 0)
            continue;
        s->first_seq = l.seq;
        s->first_prev = l.prev;
    }
}

/* From the newest file back to the first that holds a record. */
static int recover_stream(struct trail *t, unsigned i, struct segment *g)
{
    struct trail_stream *s = &t->stream[i];
    struct trail_scan scan = { 0 };

    s->hash = s->pending_hash = audit_genesis(i);
    int rc = open_stream_dir(t, i, false);
    if (rc == -ENOENT)
        return 0;
    int n = rc < 0 ? rc : list(s->dir_fd, g, FILES_MAX);
    for (int k = n; k-- > 0 && scan.lines == 0;) {
        rc = recover_segment(t, s, &g[k], &scan);
        if (rc < 0)
            return rc;
        if (k == n - 1) {
            s->segment = g[k];
            s->bytes = scan.bytes;
        }
    }
    if (n < 0)
        return n;
    first_of(s, g, (size_t)n);
    if (scan.lines > 0) {
        s->seq = s->pending_seq = scan.seq;
        s->hash = s->pending_hash = scan.hash;
    }
    return 0;
}

/* A head that was being written when the power went. */
static int recover_heads(struct trail *t, struct segment *g)
{
    AUTO_BUF struct buf b = BUF_INIT((size_t)4 * TRAIL_SEGMENT_MAX);
    char name[SEGMENT_NAME];

    t->heads_fd = open_dir(t->dir_fd, "heads", true);
    int n = t->heads_fd < 0 ? t->heads_fd : list(t->heads_fd, g, FILES_MAX);
    if (n <= 0)
        return n;
    t->heads = g[n - 1];
    segment_name(&t->heads, name);
    AUTO_CLOSE int fd = openat(t->heads_fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    int rc = fd < 0 ? -errno : read_all(fd, &b);
    size_t end = b.n;
    while (end > 0 && b.p[end - 1] != '\n')
        end--;
    if (rc == 0 && end < b.n && (ftruncate(fd, (off_t)end) < 0 || fsync(fd) < 0))
        rc = -errno;
    return rc;
}

static void note_cut(struct trail *t, unsigned i, uint64_t real_ns)
{
    const struct trail_stream *s = &t->stream[i];
    struct audit_fields f = { .real_ns = real_ns,
                              .duration_ms = AUDIT_NO_DURATION,
                              .success = AUDIT_NO_SUCCESS,
                              .event = AUDIT_RECORD_RECOVERED,
                              .job = audit_stream_job(i),
                              .severity = s->cut_records > 0 ? SEVERITY_HIGH : SEVERITY_LOW };
    char name[SEGMENT_NAME];

    segment_name(&s->cut, name);
    (void)snprintf(f.reason, sizeof f.reason, "cut %llu bytes off %ud %s, with %llu records",
                   (unsigned long long)s->cut_bytes, audit_stream_days(i), name,
                   (unsigned long long)s->cut_records);
    log_warn("torn_end_cut", "job=%s retention=%ud file=%s bytes=%llu records=%llu",
             audit_job_text(f.job), audit_stream_days(i), name,
             (unsigned long long)s->cut_bytes, (unsigned long long)s->cut_records);
    (void)trail_add(t, &f, real_ns); /* what cannot be added was logged */
}

static int recover(struct trail *t, uint64_t real_ns, struct err *e)
{
    AUTO_FREE struct segment *g = calloc(FILES_MAX, sizeof *g);

    if (!g)
        return err_set(e, ENOMEM, "read the record");
    int rc = recover_heads(t, g);
    if (rc < 0)
        return err_set(e, -rc, "read the heads of the record");
    for (unsigned i = 0; i < AUDIT_STREAMS; i++) {
        rc = recover_stream(t, i, g);
        if (rc < 0)
            return err_set(e, -rc, "read the record, %s/%ud",
                           audit_job_text(audit_stream_job(i)), audit_stream_days(i));
    }
    for (unsigned i = 0; i < AUDIT_STREAMS; i++)
        if (t->stream[i].cut_bytes > 0)
            note_cut(t, i, real_ns);
    trail_commit(t);
    return 0;
}

/* --- segments --- */

/* What was written and never committed is taken back: also from a file that is left. */
static int take_back(struct trail_stream *s)
{
    if (s->fd < 0)
        return 0;
    if (ftruncate(s->fd, (off_t)s->bytes) < 0 || fsync(s->fd) < 0) {
        s->is_stuck = true;
        return -errno;
    }
    s->is_stuck = false;
    s->reserved = 0;
    return 0;
}

static void leave_segment(struct trail_stream *s)
{
    if (s->fd >= 0)
        (void)close(s->fd); /* its bytes are durable already */
    s->fd = -1;
    s->reserved = 0;
}

static int enter_segment(struct trail *t, unsigned i, uint64_t real_ns)
{
    struct trail_stream *s = &t->stream[i];
    uint32_t day = segment_day(real_ns);
    bool is_new_day = day > s->segment.day; /* a clock that was set back opens no older file */

    if (s->fd >= 0 && !is_new_day && s->bytes < TRAIL_SEGMENT_MAX)
        return 0;
    if (s->fd >= 0) {
        int rc = take_back(s); /* gives the reserve back */
        if (rc < 0)
            return rc;
        leave_segment(s);
    }
    int rc = open_stream_dir(t, i, true);
    if (rc < 0)
        return rc;
    struct segment g = is_new_day ? (struct segment){ day, 0 } : s->segment;
    uint64_t bytes = is_new_day ? 0 : s->bytes;
    if (bytes >= TRAIL_SEGMENT_MAX) {
        g.part++;
        bytes = 0;
    }
    int fd = open_segment(s, &g, O_RDWR | O_CREAT);
    if (fd < 0)
        return fd;
    s->fd = fd;
    s->segment = g;
    s->bytes = bytes;
    s->reserved = 0;
    s->dir_changed = true;
    return 0;
}

/* --- adding and committing --- */

static uint64_t plausible(uint64_t real_ns, uint64_t now_ns)
{
    return real_ns > now_ns + CLOCK_SLACK || real_ns + CLOCK_PAST < now_ns ? now_ns : real_ns;
}

static int append(struct trail_stream *s, const struct audit_line *l)
{
    size_t before = s->pending.n;

    if (audit_line_write(l, &s->pending) < 0) {
        buf_truncate(&s->pending, before);
        return -EINVAL;
    }
    s->pending_hash = sha256_of(str_sub(buf_str(&s->pending), before, s->pending.n));
    s->pending_seq = l->seq;
    buf_add_char(&s->pending, '\n');
    return 0;
}

int trail_add(struct trail *t, const struct audit_fields *f, uint64_t real_ns)
{
    unsigned i = audit_stream_of(f->job, audit_event_days(f->event));
    struct audit_line l = { .f = *f };

    if (!audit_job_text(f->job) || !audit_event_text(f->event))
        return -EINVAL;
    struct trail_stream *s = &t->stream[i];
    int rc = s->is_stuck ? take_back(s) : 0;
    if (rc == 0 && s->pending.n == 0)
        rc = enter_segment(t, i, real_ns);
    if (rc < 0)
        return rc;
    l.f.real_ns = plausible(f->real_ns, real_ns);
    l.seq = s->pending_seq + 1;
    l.prev = s->pending_hash;
    rc = append(s, &l);
    if (rc < 0)
        return rc;
    if (f->request_id[0])
        remember(t, f->request_id);
    return (int)i;
}

bool trail_is_full(const struct trail *t)
{
    for (unsigned i = 0; i < AUDIT_STREAMS; i++)
        if (t->stream[i].pending.n > TRAIL_PENDING_MAX - AUDIT_LINE_MAX - 1)
            return true;
    return false;
}

static int write_pending(const struct trail_stream *s)
{
    size_t done = 0;

    while (done < s->pending.n) {
        ssize_t n =
            pwrite(s->fd, s->pending.p + done, s->pending.n - done, (off_t)(s->bytes + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        done += (size_t)n;
    }
    return 0;
}

/* After a sync that failed nobody knows what is on the disk, and asking again proves nothing: what was durable before stays, and a new
 * file takes the rest. */
static int commit_stream(struct trail_stream *s)
{
    int rc = write_pending(s);
    bool synced =
        rc == 0 && fdatasync(s->fd) == 0 && (!s->dir_changed || fsync(s->dir_fd) == 0);

    if (synced) {
        s->dir_changed = false;
        return 0;
    }
    bool sync_failed = rc == 0;
    if (sync_failed)
        rc = -errno;
    if (take_back(s) == 0 && sync_failed) {
        leave_segment(s);
        s->segment.part++;
        s->bytes = 0;
    }
    return rc;
}

/* So that it may be sent again, and is not taken for one that is there. */
static void forget_pending(struct trail *t, const struct trail_stream *s)
{
    struct str left = buf_str(&s->pending), text;
    struct audit_line l;

    while (str_cut(left, '\n', &text, &left))
        if (audit_line_read(text, &l) == 0)
            forget(t, l.f.request_id);
}

static void begin_with(struct trail_stream *s)
{
    struct audit_line l;
    struct str text, rest;

    if (s->first_seq > 0 || !str_cut(buf_str(&s->pending), '\n', &text, &rest) ||
        audit_line_read(text, &l) < 0)
        return;
    s->first_seq = l.seq;
    s->first_prev = l.prev;
}

void trail_commit(struct trail *t)
{
    for (unsigned i = 0; i < AUDIT_STREAMS; i++) {
        struct trail_stream *s = &t->stream[i];
        if (s->pending.n == 0)
            continue;
        s->rc = commit_stream(s);
        if (s->rc == 0) {
            begin_with(s);
            s->bytes += s->pending.n;
            t->records += s->pending_seq - s->seq;
            t->heads_are_old = true;
            s->seq = s->pending_seq;
            s->hash = s->pending_hash;
        } else {
            log_error("commit_failed", "job=%s retention=%ud records=%llu err=\"%s\"",
                      audit_job_text(audit_stream_job(i)), audit_stream_days(i),
                      (unsigned long long)(s->pending_seq - s->seq), strerrordesc_np(-s->rc));
            forget_pending(t, s);
            s->pending_seq = s->seq;
            s->pending_hash = s->hash;
            t->ready = false;
        }
        buf_clear(&s->pending);
    }
}

/* --- once a second --- */

/* Room for what ends, when nothing new is admitted any more. */
static int reserve(struct trail *t, unsigned i, uint64_t real_ns)
{
    struct trail_stream *s = &t->stream[i];
    int rc = s->is_stuck ? take_back(s) : 0;

    if (rc == 0)
        rc = enter_segment(t, i, real_ns);
    if (rc < 0 || s->reserved >= s->bytes + TRAIL_RESERVE / 2)
        return rc;
    if (fallocate(s->fd, FALLOC_FL_KEEP_SIZE, (off_t)s->bytes, TRAIL_RESERVE) < 0 &&
        errno != EOPNOTSUPP)
        return -errno;
    s->reserved = s->bytes + TRAIL_RESERVE;
    return 0;
}

static void note_purge(struct trail *t, unsigned i, const char *name, uint64_t real_ns)
{
    struct audit_fields f = { .real_ns = real_ns,
                              .duration_ms = AUDIT_NO_DURATION,
                              .success = AUDIT_NO_SUCCESS,
                              .event = AUDIT_RECORD_PURGED,
                              .job = audit_stream_job(i) };

    (void)snprintf(f.reason, sizeof f.reason, "%ud %s", audit_stream_days(i), name);
    if (trail_add(t, &f, real_ns) >= 0)
        trail_commit(t);
}

/* The head that says where the stream begins now is durable before the file goes. Nothing goes that cannot be said. */
static void purge(struct trail *t, unsigned i, uint64_t real_ns)
{
    struct trail_stream *s = &t->stream[i];
    AUTO_FREE struct segment *g = calloc(FILES_MAX, sizeof *g);
    char name[SEGMENT_NAME];
    int n = !g || s->dir_fd < 0 ? 0 : list(s->dir_fd, g, FILES_MAX);
    int over = 0;

    while (over + 1 < n && segment_is_over(&g[over], audit_stream_days(i), real_ns))
        over++; /* never the newest: it says where the chain goes on */
    if (over <= 0)
        return;
    uint64_t first = s->first_seq;
    struct sha256 prev = s->first_prev;
    s->first_seq = 0;
    first_of(s, g + over, (size_t)(n - over));
    if (s->first_seq == 0 || sign_head(t, real_ns) < 0) {
        s->first_seq = first;
        s->first_prev = prev;
        return;
    }
    for (int k = 0; k < over; k++) {
        segment_name(&g[k], name);
        if (unlinkat(s->dir_fd, name, 0) < 0)
            continue;
        log_info("segment_purged", "job=%s retention=%ud file=%s",
                 audit_job_text(audit_stream_job(i)), audit_stream_days(i), name);
        note_purge(t, i, name, real_ns);
    }
}

static void purge_heads(struct trail *t, uint64_t real_ns)
{
    AUTO_FREE struct segment *g = calloc(FILES_MAX, sizeof *g);
    char name[SEGMENT_NAME];
    int n = g ? list(t->heads_fd, g, FILES_MAX) : 0;

    for (int k = 0; k + 1 < n && segment_is_over(&g[k], 366, real_ns); k++) {
        segment_name(&g[k], name);
        (void)unlinkat(t->heads_fd, name, 0); /* tried again tomorrow */
    }
}

static void sign_or_say(struct trail *t, uint64_t real_ns)
{
    int rc = sign_head(t, real_ns);

    if (rc < 0) /* tried again in a second, or after the next start */
        log_error("head_failed", "err=\"%s\"", strerrordesc_np(-rc));
}

void trail_tick(struct trail *t, uint64_t real_ns, uint64_t head_every_ns)
{
    static const unsigned needed[] = { 1, 2 }; /* e2b-sandbox/90d and /365d */
    bool ready = true;
    bool day_is_new = segment_day(real_ns) != t->purged_day;

    for (size_t k = 0; k < ARRAY_LEN(needed); k++)
        ready = reserve(t, needed[k], real_ns) == 0 && ready;
    t->ready = ready;
    t->purged_day = segment_day(real_ns);
    for (unsigned i = 0; day_is_new && i < AUDIT_STREAMS; i++)
        purge(t, i, real_ns);
    if (day_is_new)
        purge_heads(t, real_ns);
    if (t->heads_are_old && (real_ns - t->head_ns >= head_every_ns || real_ns < t->head_ns))
        sign_or_say(t, real_ns);
}

int trail_open(struct trail *t, int dir_fd, uint64_t real_ns, struct err *e)
{
    *t = (struct trail){ .dir_fd = dir_fd, .heads_fd = -1 };
    for (unsigned i = 0; i < AUDIT_STREAMS; i++) {
        t->stream[i].fd = t->stream[i].dir_fd = -1;
        t->stream[i].pending = BUF_INIT(TRAIL_PENDING_MAX);
    }
    return sign_open(t, e) < 0 ? -e->code : recover(t, real_ns, e);
}

void trail_close(struct trail *t, uint64_t real_ns)
{
    trail_commit(t);
    if (t->heads_are_old)
        sign_or_say(t, real_ns);
    for (unsigned i = 0; i < AUDIT_STREAMS; i++) {
        struct trail_stream *s = &t->stream[i];
        (void)take_back(
            s); /* also gives the reserve back; what stays is cut at the next start */
        leave_segment(s);
        if (s->dir_fd >= 0)
            (void)close(s->dir_fd);
        buf_fini(&s->pending);
    }
    explicit_bzero(t->seed, sizeof t->seed);
    if (t->heads_fd >= 0)
        (void)close(t->heads_fd);
    (void)close(t->dir_fd);
}
