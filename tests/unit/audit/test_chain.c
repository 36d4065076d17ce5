/* SPDX-License-Identifier: Apache-2.0 */
/* T16, S06: a thousand records; each is changed, taken out, moved; the first bad one is named each time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "audit/chain.h"
#include "audit/head.h"
#include "audit/segment.h"
#include "base/auto.h"

#define N      1000u
#define STREAM 1u

struct log {
    char *line[N];
    struct sha256 hash[N];
    struct audit_point point[2]; /* a head after 700 records, and one after all */
    struct audit_verifier after
        [N]; /* after so many records: what comes before a change need not be looked at each time */
};

static int make(void **state)
{
    struct log *g = calloc(1, sizeof *g);
    struct audit_line l = { .f = { .event = AUDIT_SANDBOX_EXECUTED, .success = 1 } };

    l.prev = audit_genesis(STREAM);
    for (unsigned i = 0; i < N; i++) {
        AUTO_BUF struct buf b = BUF_INIT(AUDIT_LINE_MAX);
        l.seq = i + 1;
        l.f.real_ns = UINT64_C(1767225600000000000) + i * UINT64_C(1000000);
        l.f.duration_ms = i;
        assert_int_equal(audit_line_write(&l, &b), 0);
        g->line[i] = strdup(buf_cstr(&b));
        g->hash[i] = l.prev = sha256_of(buf_str(&b));
    }
    g->point[0] = (struct audit_point){ 1, audit_genesis(STREAM), 700, g->hash[699], 1 };
    g->point[1] = (struct audit_point){ 1, audit_genesis(STREAM), N, g->hash[N - 1], 2 };
    audit_verifier_init(&g->after[0], STREAM, g->point, ARRAY_LEN(g->point));
    for (unsigned i = 0; i + 1 < N; i++) {
        g->after[i + 1] = g->after[i];
        assert_true(audit_verifier_line(&g->after[i + 1], str_from(g->line[i]), &l));
    }
    *state = g;
    return 0;
}

static int unmake(void **state)
{
    struct log *g = *state;

    for (unsigned i = 0; i < N; i++)
        free(g->line[i]);
    free(g);
    return 0;
}

/* The number of the first bad record, if the first `same` are as they were; 0: none. */
static uint64_t verify_after(const struct log *g, unsigned same, char *const *line, size_t n)
{
    struct audit_verifier v = g->after[same];
    struct audit_line l;

    for (size_t i = same; i < n; i++)
        if (!audit_verifier_line(&v, str_from(line[i]), &l))
            break;
    (void)audit_verifier_end(&v);
    return v.bad_seq;
}

static uint64_t verify(const struct log *g, char *const *line, size_t n)
{
    struct audit_verifier v;
    struct audit_line l;

    audit_verifier_init(&v, STREAM, g->point, ARRAY_LEN(g->point));
    for (size_t i = 0; i < n; i++)
        if (!audit_verifier_line(&v, str_from(line[i]), &l))
            break;
    (void)audit_verifier_end(&v);
    return v.bad_seq;
}

static void R109_an_untouched_chain_is_whole(void **state)
{
    const struct log *g = *state;
    assert_int_equal(verify(g, g->line, N), 0);
}

static void R109_each_flip_is_found_and_the_first_bad_record_named(void **state)
{
    const struct log *g = *state;

    for (unsigned i = 0; i < N; i++) {
        size_t n = strlen(g->line[i]);
        /* One place of each record in turn, and of some records each. */
        size_t step = i % 10 == 0 || i == N - 1 || i == 1 ? 1 : n;
        for (size_t at = i * 37 % n, k = 0; k < n; k += step, at = (at + step) % n) {
            g->line[i][at] ^= 1;
            uint64_t got = verify_after(g, i, g->line, N);
            if (got != i + 1)
                print_message("# record %u byte %zu: %s\n", i + 1, at, g->line[i]);
            g->line[i][at] ^= 1;
            assert_int_equal(got, i + 1);
        }
    }
}

/* Well-formed lies: the record is another one, and only the chain knows. */
static void R109_each_record_replaced_by_another_is_named(void **state)
{
    const struct log *g = *state;

    for (unsigned i = 0; i < N; i++) {
        AUTO_BUF struct buf b = BUF_INIT(AUDIT_LINE_MAX);
        struct audit_line l;
        char *line[N];
        memcpy(line, g->line, sizeof line);
        assert_int_equal(audit_line_read(str_from(line[i]), &l), 0);
        l.f.success = 0;
        assert_int_equal(audit_line_write(&l, &b), 0);
        line[i] = b.p;
        assert_int_equal(verify_after(g, i, line, N), i + 1);
        buf_clear(&b);
        l.f.success = 1;
        l.prev.byte[7] ^= 1;
        assert_int_equal(audit_line_write(&l, &b), 0);
        line[i] = b.p;
        assert_int_equal(verify_after(g, i, line, N), i + 1);
    }
}

static void R109_each_record_taken_out_is_named(void **state)
{
    const struct log *g = *state;

    for (unsigned i = 0; i < N; i++) {
        char *line[N];
        memcpy(line, g->line, i * sizeof *line);
        memcpy(line + i, g->line + i + 1, (N - 1 - i) * sizeof *line);
        assert_int_equal(verify_after(g, i, line, N - 1), i + 1);
    }
}

static void R109_each_record_moved_is_named(void **state)
{
    const struct log *g = *state;

    for (unsigned i = 0; i + 1 < N; i++) {
        char *line[N], *moved;
        memcpy(line, g->line, sizeof line);
        moved = line[i];
        line[i] = line[i + 1];
        line[i + 1] = moved;
        assert_int_equal(verify_after(g, i, line, N), i + 1);
        memcpy(line, g->line, sizeof line);
        memmove(line + i, line + i + 1, (N - 1 - i) * sizeof *line);
        line[N - 1] = moved;
        assert_int_equal(verify_after(g, i, line, N), i + 1);
    }
}

static void S06_an_older_copy_and_a_chain_made_anew_are_found(void **state)
{
    const struct log *g = *state;
    struct log other = *g;

    assert_int_equal(verify(g, g->line, 800), 801);
    assert_int_equal(verify(g, g->line, 0), 1);
    other.point[0].hash.byte[0] ^= 1; /* heads that are of another chain, whole in itself */
    assert_int_equal(verify(&other, g->line, N), 700);
}

static void a_stream_may_begin_where_a_head_says_that_it_was_purged(void **state)
{
    const struct log *g = *state;
    struct log purged = *g;

    assert_int_equal(verify(g, g->line + 100, N - 100), 1);
    purged.point[1].first_seq = 101;
    purged.point[1].first_prev = g->hash[99];
    assert_int_equal(verify(&purged, g->line + 100, N - 100), 0);
    assert_int_equal(verify(&purged, g->line, N),
                     0); /* the head was first, the file is still there */
    assert_int_equal(verify(&purged, g->line + 150, N - 150), 101);
    purged.point[1].first_prev.byte[0] ^= 1;
    assert_int_equal(verify(&purged, g->line + 100, N - 100), 101);
}

static void streams_do_not_pass_for_one_another(void **state)
{
    const struct log *g = *state;
    struct audit_verifier v;
    struct audit_line l;

    audit_verifier_init(&v, STREAM + 1, NULL, 0);
    for (unsigned i = 0; i < 2; i++)
        (void)audit_verifier_line(&v, str_from(g->line[i]), &l);
    assert_int_equal(v.bad_seq, 1);
}

static void a_head_is_signed_and_read_back(void **state)
{
    const struct log *g = *state;
    const uint8_t seed[ED25519_SEED] = { 1, 2, 3 };
    struct audit_head h = { .real_ns = UINT64_C(1767225600123000000) }, back;
    AUTO_BUF struct buf b = BUF_INIT(AUDIT_HEAD_MAX);

    h.stream[STREAM] = g->point[1];
    h.stream[5] = g->point[0];
    assert_int_equal(audit_head_write(&h, seed, &b), 0);
    assert_int_equal(audit_head_read(buf_str(&b), &back), 0);
    assert_int_equal(back.stream[STREAM].seq, N);
    assert_int_equal(back.stream[5].seq, 700);
    assert_int_equal(back.stream[0].seq, 0);
    assert_memory_equal(back.key, h.key, sizeof h.key);
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] ^= 1;
        assert_true(audit_head_read(buf_str(&b), &back) < 0);
        b.p[i] ^= 1;
    }
    for (size_t n = 0; n < b.n; n++)
        assert_true(audit_head_read(str_sub(buf_str(&b), 0, n), &back) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(R109_an_untouched_chain_is_whole),
        cmocka_unit_test(R109_each_flip_is_found_and_the_first_bad_record_named),
        cmocka_unit_test(R109_each_record_replaced_by_another_is_named),
        cmocka_unit_test(R109_each_record_taken_out_is_named),
        cmocka_unit_test(R109_each_record_moved_is_named),
        cmocka_unit_test(S06_an_older_copy_and_a_chain_made_anew_are_found),
        cmocka_unit_test(a_stream_may_begin_where_a_head_says_that_it_was_purged),
        cmocka_unit_test(streams_do_not_pass_for_one_another),
        cmocka_unit_test(a_head_is_signed_and_read_back),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make, unmake);
}
