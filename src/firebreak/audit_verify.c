/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "codec/json.h"
#include "firebreak/audit.h"
#include "firebreak/cli.h"

struct verifying {
    struct audit_verifier v;
    struct audit_point *point; /* owned */
    size_t n_points;
    uint64_t lines, in_file;
    struct segment file;
    struct segment bad_file;
    uint64_t bad_line;
};

static bool take(const struct audit_seen *l, void *arg)
{
    struct verifying *w = arg;
    struct audit_line line;

    if (segment_compare(&w->file, l->segment) != 0) {
        w->file = *l->segment;
        w->in_file = 0;
    }
    w->in_file++;
    w->lines++;
    if (audit_verifier_line(&w->v, l->text, &line))
        return true;
    w->bad_file = w->file;
    w->bad_line = w->in_file;
    return false;
}

static int points_of(const struct audit_heads *h, unsigned stream, struct verifying *w)
{
    w->point = calloc(h->n > 0 ? h->n : 1, sizeof *w->point);
    if (!w->point)
        return -ENOMEM;
    for (size_t i = 0; i < h->n; i++)
        if (h->head[i].stream[stream].seq > 0)
            w->point[w->n_points++] = h->head[i].stream[stream];
    return 0;
}

static json_t *describe(unsigned stream, const struct verifying *w, uint64_t tail)
{
    char name[SEGMENT_NAME] = "";
    json_t *bad = json_null();

    if (w->v.bad_seq) {
        segment_name(&w->bad_file, name);
        bad =
            json_pack("{s:I,s:s,s:s,s:I}", "record", (json_int_t)w->v.bad_seq, "why", w->v.why,
                      "file", w->bad_line ? name : "", "line", (json_int_t)w->bad_line);
    }
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:o}", "job",
                     audit_job_text(audit_stream_job(stream)), "retentionDays",
                     (json_int_t)audit_stream_days(stream), "records", (json_int_t)w->lines,
                     "first", (json_int_t)w->v.first_seq, "last", (json_int_t)w->v.seq,
                     "unfinishedBytes", (json_int_t)tail, "bad", bad);
}

static void print(unsigned stream, const struct verifying *w)
{
    char name[SEGMENT_NAME];

    (void)printf("%s/%ud: ", audit_job_text(audit_stream_job(stream)),
                 audit_stream_days(stream));
    if (w->v.bad_seq == 0) {
        (void)printf("%llu records, whole\n", (unsigned long long)w->lines);
        return;
    }
    (void)printf("BAD: record %llu: %s", (unsigned long long)w->v.bad_seq, w->v.why);
    segment_name(&w->bad_file, name);
    if (w->bad_line > 0)
        (void)printf(" (found at %s line %llu)", name, (unsigned long long)w->bad_line);
    (void)putchar('\n');
}

/* 1 whole, 0 not. */
static int check_stream(const struct audit_options *o, const struct audit_heads *h,
                        unsigned stream, bool quiet, json_t *rows, struct err *e)
{
    struct verifying w = { 0 };
    struct audit_place at = { 0 };
    uint64_t tail;
    int rc = points_of(h, stream, &w);

    if (rc < 0)
        return err_set(e, -rc, "verify");
    audit_verifier_init(&w.v, stream, w.point, w.n_points);
    rc = audit_walk(o->dir_fd, stream, &at, take, &w, &tail, e);
    if (rc == 0) {
        (void)audit_verifier_end(&w.v);
        if (rows && (w.lines > 0 || w.v.bad_seq))
            (void)json_array_append_new(rows, describe(stream, &w, tail));
        else if (!quiet && (w.lines > 0 || w.v.bad_seq))
            print(stream, &w);
        rc = w.v.bad_seq == 0;
    }
    free(w.point);
    return rc;
}

static void print_json(const struct audit_heads *h, const char *key, bool whole, json_t *rows)
{
    AUTO_JSON json_t *all =
        json_pack("{s:b,s:I,s:s,s:s,s:O}", "whole", whole, "heads", (json_int_t)h->n, "key",
                  key, "badHead", h->bad, "streams", rows);

    if (all)
        (void)json_dumpf(all, stdout, JSON_INDENT(2));
    (void)putchar('\n');
}

static void print_heads(const struct audit_options *o, const struct audit_heads *h,
                        const char *key)
{
    char when[CLOCK_TEXT_MAX] = "never";

    if (h->n > 0)
        clock_format_rfc3339(h->head[h->n - 1].real_ns, 0, when);
    if (h->bad[0])
        (void)printf("heads: BAD: %s\n", h->bad);
    (void)printf("heads: %zu, the last of %s, key %s%s\n", h->n, when, key,
                 o->public_key ? "" : " (the record's own: compare it with your copy)");
}

int audit_check(const struct audit_options *o, bool quiet, struct err *e)
{
    AUTO_AUDIT_HEADS struct audit_heads h = { 0 };
    AUTO_JSON json_t *rows = o->json && !quiet ? json_array() : NULL;
    uint8_t key[ED25519_KEY];
    char hex[2 * ED25519_KEY + 1];
    int rc = o->public_key ? audit_key_read(AT_FDCWD, o->public_key, key, e)
                           : audit_key_read(o->dir_fd, "key.pub", key, e);

    /* Heads first: what is written meanwhile is then only more than they say. */
    if (rc == 0)
        rc = audit_heads_read(o->dir_fd, key, &h, e);
    if (rc < 0)
        return rc;
    bool whole = h.bad[0] == 0;
    for (unsigned i = 0; i < AUDIT_STREAMS; i++) {
        rc = check_stream(o, &h, i, quiet, rows, e);
        if (rc < 0)
            return rc;
        whole = whole && rc == 1;
    }
    hex_encode(key, sizeof key, hex);
    if (rows)
        print_json(&h, hex, whole, rows);
    else if (!quiet)
        print_heads(o, &h, hex);
    return whole;
}

int audit_verify(const struct audit_options *o)
{
    struct err e = { 0 };
    int rc = audit_check(o, false, &e);

    if (rc < 0)
        return cli_fail(&e, NULL);
    return cli_finish_stdout(rc == 1 ? CLI_OK : CLI_FAILED);
}
