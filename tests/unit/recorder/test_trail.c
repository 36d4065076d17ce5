/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the record, in a directory of their own, at times of the tests' choosing. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/chain.h"
#include "base/auto.h"
#include "base/clock.h"
#include "base/log.h"
#include "recorder/trail.h"

#define DAY_NS (86400 * NS_PER_S)
#define T0     (20000 * DAY_NS + 5 * NS_PER_S) /* 2024-10-04 */
#define STREAM 1u                              /* e2b-sandbox/90d */

static char dir[] = "/tmp/firebreak-trail-XXXXXX"; /* of one test at a time */
static struct trail t;

static int make(void **state)
{
    (void)state;
    memcpy(dir, "/tmp/firebreak-trail-XXXXXX", sizeof dir);
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st;
    (void)kind;
    (void)where;
    return remove(path);
}

static int unmake(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void start(uint64_t at_ns)
{
    struct err e = { 0 };
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (trail_open(&t, fd, at_ns, &e) < 0)
        fail_msg("%s", e.text);
}

/* As after kill -9: nothing is said, nothing given back. */
static void crash(void)
{
    for (unsigned i = 0; i < AUDIT_STREAMS; i++) {
        if (t.stream[i].fd >= 0)
            (void)close(t.stream[i].fd);
        if (t.stream[i].dir_fd >= 0)
            (void)close(t.stream[i].dir_fd);
        buf_fini(&t.stream[i].pending);
    }
    (void)close(t.heads_fd);
    (void)close(t.dir_fd);
}

static int add(const char *id, uint64_t at_ns)
{
    struct audit_fields f = { .event = AUDIT_SANDBOX_CREATED, .real_ns = at_ns, .success = 1 };

    (void)snprintf(f.request_id, sizeof f.request_id, "%s", id);
    return trail_add(&t, &f, at_ns);
}

static void path_of(const char *name, char out[256])
{
    (void)snprintf(out, 256, "%s/e2b-sandbox/90d/%s", dir, name);
}

static void read_file(const char *path, struct buf *out)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    do {
        char *room = buf_reserve(out, 65536);
        n = room && fd >= 0 ? read(fd, room, 65536) : 0;
        out->n += n > 0 ? (size_t)n : 0;
    } while (n > 0);
}

/* Lines of the stream's files in order, verified against the heads. How many, and the first bad one. */
static uint64_t verify(const char *const *name, size_t n, uint64_t *lines)
{
    struct audit_point point[64];
    size_t points = 0;
    AUTO_BUF struct buf heads = BUF_INIT(1u << 20);
    char path[256];
    struct str left, text;
    struct audit_verifier v;

    for (uint32_t day = 20000; day < 20500; day++) {
        char file[SEGMENT_NAME];
        const struct segment s = { day, 0 };
        segment_name(&s, file);
        (void)snprintf(path, sizeof path, "%s/heads/%s", dir, file);
        read_file(path, &heads);
    }
    left = buf_str(&heads);
    while (str_cut(left, '\n', &text, &left)) {
        struct audit_head h;
        assert_int_equal(audit_head_read(text, &h), 0);
        if (h.stream[STREAM].seq > 0 && points < ARRAY_LEN(point))
            point[points++] = h.stream[STREAM];
    }
    *lines = 0;
    audit_verifier_init(&v, STREAM, point, points);
    for (size_t i = 0; i < n; i++) {
        AUTO_BUF struct buf b = BUF_INIT(1u << 20);
        struct audit_line l;
        path_of(name[i], path);
        read_file(path, &b);
        left = buf_str(&b);
        while (str_cut(left, '\n', &text, &left)) {
            ++*lines;
            (void)audit_verifier_line(&v, text, &l);
        }
        assert_int_equal(text.n, 0);
    }
    (void)audit_verifier_end(&v);
    return v.bad_seq;
}

static const char *const day0[] = { "2024-10-04.jsonl" };

static void what_was_committed_is_there_after_a_crash(void **state)
{
    (void)state;
    uint64_t lines;

    start(T0);
    assert_int_equal(add("a", T0), STREAM);
    assert_int_equal(add("b", T0), STREAM);
    trail_commit(&t);
    assert_int_equal(t.stream[STREAM].rc, 0);
    assert_int_equal(add("c", T0), STREAM); /* never committed */
    crash();
    start(T0);
    assert_int_equal(t.stream[STREAM].seq, 2);
    assert_true(trail_has_seen(&t, "b"));
    assert_false(trail_has_seen(&t, "c"));
    trail_close(&t, T0);
    assert_int_equal(verify(day0, 1, &lines), 0);
    assert_int_equal(lines, 2);
}

/* Torn at each byte of the last record: it is cut off, what was before stays, and the chain goes on. */
static void R109_a_torn_end_is_cut_at_each_byte_and_nothing_else_is(void **state)
{
    (void)state;
    char path[256];
    uint64_t lines;
    struct stat st;

    path_of(day0[0], path);
    start(T0);
    assert_int_equal(add("a", T0), STREAM);
    trail_commit(&t);
    uint64_t one = t.stream[STREAM].bytes;
    crash();
    for (uint64_t n = 1; n < one; n += 7) {
        start(T0);
        uint64_t before = t.stream[STREAM].seq, bytes = t.stream[STREAM].bytes;
        assert_int_equal(add("torn", T0), STREAM);
        trail_commit(&t);
        crash();
        assert_int_equal(truncate(path, (off_t)(bytes + n)), 0);
        start(T0);
        assert_int_equal(t.stream[STREAM].seq, before);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_size, bytes);
        assert_false(trail_has_seen(&t, "torn"));
        assert_int_equal(add("whole", T0), STREAM);
        trail_commit(&t);
        crash();
        char cut[256];
        path_of("cut-2024-10-04.jsonl.1", cut);
        assert_int_equal(stat(cut, &st), 0);
        assert_int_equal(st.st_size, n);
        assert_int_equal(unlink(cut), 0);
    }
    start(T0);
    trail_close(&t, T0);
    assert_int_equal(verify(day0, 1, &lines), 0);
    assert_true(lines > 10 && t.stream[2].seq > 10); /* each cut is in the record itself */
}

/* The file may grow no further: the batch is refused, taken back, and the next one is written when there is room. */
static void S05_what_cannot_be_written_is_taken_back_and_it_heals(void **state)
{
    (void)state;
    struct rlimit was, now;
    struct stat st;
    char path[256];
    uint64_t lines;

    path_of(day0[0], path);
    start(T0);
    assert_int_equal(add("a", T0), STREAM);
    trail_commit(&t);
    uint64_t bytes = t.stream[STREAM].bytes;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    now = was;
    now.rlim_cur = bytes + 100;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &now), 0);
    assert_int_equal(add("b", T0), STREAM);
    trail_commit(&t);
    assert_int_equal(t.stream[STREAM].rc, -EFBIG);
    assert_false(t.ready);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, bytes);
    assert_false(trail_has_seen(&t, "b"));
    trail_tick(&t, T0, NS_PER_S);
    assert_true(t.ready);
    assert_int_equal(add("b", T0), STREAM);
    trail_commit(&t);
    assert_int_equal(t.stream[STREAM].rc, 0);
    trail_close(&t, T0);
    assert_int_equal(verify(day0, 1, &lines), 0);
    assert_int_equal(lines, 2);
}

static void R92_files_go_to_the_second_and_the_heads_say_so(void **state)
{
    (void)state;
    static const char *const both[] = { "2024-10-04.jsonl", "2024-10-05.jsonl" };
    static const char *const last[] = { "2024-10-05.jsonl" };
    uint64_t lines, over_ns = (20000 + 1 + 90) * DAY_NS;
    char path[256];

    start(T0);
    assert_int_equal(add("a", T0), STREAM);
    trail_commit(&t);
    assert_int_equal(add("b", T0 + DAY_NS), STREAM);
    trail_commit(&t);
    trail_tick(&t, T0 + DAY_NS, NS_PER_S);
    assert_int_equal(verify(both, 2, &lines), 0);
    path_of(both[0], path);
    trail_tick(&t, over_ns - NS_PER_S, NS_PER_S);
    assert_int_equal(access(path, F_OK), 0);
    trail_tick(&t, over_ns, NS_PER_S);
    assert_true(access(path, F_OK) < 0);
    trail_close(&t, over_ns);
    assert_int_equal(verify(last, 1, &lines), 0);
    path_of(last[0], path);
    assert_int_equal(unlink(path), 0); /* somebody takes one that is not over */
    assert_int_equal(verify(last, 1, &lines), 2);
}

static void a_clock_that_is_set_back_opens_no_older_file(void **state)
{
    (void)state;
    uint64_t lines;
    static const char *const day1[] = { "2024-10-05.jsonl" };

    start(T0 + DAY_NS);
    assert_int_equal(add("a", T0 + DAY_NS), STREAM);
    trail_commit(&t);
    assert_int_equal(add("b", T0), STREAM);
    trail_commit(&t);
    trail_close(&t, T0);
    assert_int_equal(verify(day1, 1, &lines), 0);
    assert_int_equal(lines, 2);
}

static void room_is_set_aside_without_changing_the_file(void **state)
{
    (void)state;
    char path[256];
    struct stat st;

    path_of(day0[0], path);
    start(T0);
    trail_tick(&t, T0, NS_PER_S);
    assert_true(t.ready);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_true(st.st_blocks * 512 >= TRAIL_RESERVE);
    trail_close(&t, T0);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_blocks * 512 < TRAIL_RESERVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_committed_is_there_after_a_crash, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(R109_a_torn_end_is_cut_at_each_byte_and_nothing_else_is,
                                        make, unmake),
        cmocka_unit_test_setup_teardown(S05_what_cannot_be_written_is_taken_back_and_it_heals,
                                        make, unmake),
        cmocka_unit_test_setup_teardown(R92_files_go_to_the_second_and_the_heads_say_so, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(a_clock_that_is_set_back_opens_no_older_file, make,
                                        unmake),
        cmocka_unit_test_setup_teardown(room_is_set_aside_without_changing_the_file, make,
                                        unmake),
    };
    log_init("test", LOG_LEVEL_ERROR);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
