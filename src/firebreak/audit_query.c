/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/auto.h"
#include "base/clock.h"
#include "base/num.h"
#include "firebreak/audit.h"
#include "firebreak/cli.h"

#define FOLLOW_US 300000

int audit_parse_when(const char *text, uint64_t now_ns, uint64_t *out)
{
    static const struct {
        char unit;
        uint64_t s;
    } units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
    struct str s = str_from(text);
    uint64_t n;

    for (size_t i = 0; s.n > 1 && i < ARRAY_LEN(units); i++) {
        if (s.p[s.n - 1] != units[i].unit ||
            num_parse_u64(str_sub(s, 0, s.n - 1), 0, 36500, &n) < 0)
            continue;
        uint64_t back = n * units[i].s * NS_PER_S;
        *out = back < now_ns ? now_ns - back : 0;
        return 0;
    }
    return clock_parse_rfc3339(text, out);
}

static bool is(const char *want, const char *got)
{
    return !want || strcmp(want, got) == 0;
}

/* "sandbox." stands for all that begins so. */
static bool is_type(const char *want, uint32_t event)
{
    const char *got = audit_event_text(event);
    size_t n = want ? strlen(want) : 0;

    return n == 0 || strcmp(want, got) == 0 ||
           (want[n - 1] == '.' && strncmp(want, got, n) == 0);
}

bool audit_matches(const struct audit_options *o, const struct audit_line *l)
{
    return l->f.real_ns >= o->since_ns && l->f.real_ns <= o->until_ns &&
           is_type(o->type, l->f.event) && is(o->sandbox, l->f.sandbox_id) &&
           is(o->user, l->f.user_id) && is(o->agent, l->f.agent_id) &&
           is(o->address, l->f.ip_address);
}

struct found {
    uint64_t real_ns, seq;
    unsigned stream;
    char *text; /* owned */
};

struct query {
    const struct audit_options *o;
    struct found *found; /* owned, room for twice the limit */
    size_t n;
    uint64_t unreadable;
    bool failed;
};

static int by_time(const void *a, const void *b)
{
    const struct found *x = a, *y = b;

    if (x->real_ns != y->real_ns)
        return x->real_ns < y->real_ns ? -1 : 1;
    if (x->stream != y->stream)
        return x->stream < y->stream ? -1 : 1;
    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* The newest stay. */
static void cut(struct query *q)
{
    qsort(q->found, q->n, sizeof *q->found, by_time);
    if (q->n <= q->o->limit)
        return;
    size_t over = q->n - q->o->limit;
    for (size_t i = 0; i < over; i++)
        free(q->found[i].text);
    memmove(q->found, q->found + over, q->o->limit * sizeof *q->found);
    q->n = q->o->limit;
}

static bool take(const struct audit_seen *s, void *arg)
{
    struct query *q = arg;
    struct audit_line l;

    if (audit_line_read(s->text, &l) < 0) {
        q->unreadable++;
        return true;
    }
    if (!audit_matches(q->o, &l))
        return true;
    if (q->n == 2 * q->o->limit)
        cut(q);
    char *text = strndup(s->text.p, s->text.n);
    if (!text) {
        q->failed = true;
        return false;
    }
    q->found[q->n++] = (struct found){ l.f.real_ns, l.seq, s->stream, text };
    return true;
}

static const char *or_dash(const char *s)
{
    return s[0] ? s : "-";
}

static void print(const struct audit_options *o, const struct found *x)
{
    static const char *const success[] = { "-", "failed", "ok" };
    struct audit_line l;

    if (o->json) {
        (void)puts(x->text);
        return;
    }
    if (audit_line_read(str_from(x->text), &l) < 0)
        return; /* it was read before */
    (void)printf("%.23s  %-19s  %-20s  %-15s  %-6s  ", x->text + strlen("{\"timestamp\":\""),
                 audit_event_text(l.f.event), or_dash(l.f.sandbox_id), or_dash(l.f.ip_address),
                 success[l.f.success + 1]);
    cli_print_safe(stdout, or_dash(l.f.user_id));
    (void)printf("  ");
    cli_print_safe(stdout, or_dash(l.f.reason));
    (void)putchar('\n');
}

static int round_of(struct query *q, struct audit_place at[AUDIT_STREAMS], struct err *e)
{
    for (unsigned i = 0; i < AUDIT_STREAMS; i++) {
        if (audit_walk(q->o->dir_fd, i, &at[i], take, q, NULL, e) < 0)
            return -e->code;
        if (q->failed)
            return err_set(e, ENOMEM, "read the record");
    }
    cut(q);
    for (size_t i = 0; i < q->n; i++) {
        print(q->o, &q->found[i]);
        free(q->found[i].text);
    }
    q->n = 0;
    return 0;
}

int audit_query(const struct audit_options *o)
{
    struct audit_place at[AUDIT_STREAMS] = { 0 };
    AUTO_FREE struct found *found = calloc(2 * o->limit, sizeof *found);
    struct query q = { .o = o, .found = found };
    struct err e = { 0 };

    if (!found) {
        (void)err_set(&e, ENOMEM, "read the record");
        return cli_fail(&e, NULL);
    }
    int rc = round_of(&q, at, &e);
    while (rc == 0 && o->follow && fflush(stdout) == 0 && !ferror(stdout)) {
        (void)usleep(FOLLOW_US);
        rc = round_of(&q, at, &e);
    }
    if (rc < 0)
        return cli_fail(&e, NULL);
    if (q.unreadable > 0)
        (void)fprintf(
            stderr,
            "firebreak: %llu lines are no records: firebreak audit verify tells which\n",
            (unsigned long long)q.unreadable);
    return cli_finish_stdout(q.unreadable > 0 ? CLI_FAILED : CLI_OK);
}
