/* SPDX-License-Identifier: Apache-2.0 */
/* What a weekly review looks at (hardening guide, Ongoing; requirement R154). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/clock.h"
#include "codec/json.h"
#include "firebreak/audit.h"
#include "firebreak/cli.h"

#define KEYS_MAX 1024u /* of one table; the rest is one row "other" */
#define KEY_MAX  208u
#define TOP      10u

struct count {
    char key[KEY_MAX];
    uint64_t n;
};
struct table {
    const char *name;
    struct count *row; /* owned, KEYS_MAX + 1 */
    size_t n;
};

enum { EVENTS, ENDS, FAILURES, REFUSALS, AUTH, EGRESS, INTEGRITY, TABLES };

struct report {
    const struct audit_options *o;
    struct table table[TABLES];
    uint64_t records, unreadable;
};

static void count(struct table *t, const char *key)
{
    size_t i = 0;

    while (i < t->n && strcmp(t->row[i].key, key) != 0)
        i++;
    if (i == t->n && t->n == KEYS_MAX) {
        i = KEYS_MAX;
        key = "other";
    }
    if (i == t->n && t->n < KEYS_MAX)
        t->n++;
    (void)snprintf(t->row[i].key, KEY_MAX, "%s", key);
    t->row[i].n++;
}

static bool take(const struct audit_seen *s, void *arg)
{
    struct report *r = arg;
    struct audit_line l;
    const struct audit_fields *f = &l.f;

    if (audit_line_read(s->text, &l) < 0) {
        r->unreadable++;
        return true;
    }
    if (!audit_matches(r->o, &l))
        return true;
    r->records++;
    count(&r->table[EVENTS], audit_event_text(f->event));
    if (f->event == AUDIT_SANDBOX_TERMINATED)
        count(&r->table[ENDS], f->reason);
    else if (f->event == AUDIT_SANDBOX_FAILED)
        count(&r->table[FAILURES], f->reason);
    else if (f->event == AUDIT_SANDBOX_REFUSED)
        count(&r->table[REFUSALS], f->reason);
    else if (f->event == AUDIT_AUTH_FAILED || f->event == AUDIT_AUTH_THROTTLED)
        count(&r->table[AUTH], f->ip_address);
    else if (f->event == AUDIT_EGRESS_DENIED)
        count(&r->table[EGRESS], f->reason);
    else if (f->event >= AUDIT_RECORD_DROPPED)
        count(&r->table[INTEGRITY], f->reason);
    return true;
}

static int by_count(const void *a, const void *b)
{
    const struct count *x = a, *y = b;

    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return strcmp(x->key, y->key);
}

static json_t *table_json(const struct table *t)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < t->n; i++)
        (void)json_array_append_new(
            rows, json_pack("{s:s,s:I}", "what", t->row[i].key, "n", (json_int_t)t->row[i].n));
    return rows;
}

static void print_json(struct report *r, bool whole)
{
    AUTO_JSON json_t *all =
        json_pack("{s:I,s:b}", "records", (json_int_t)r->records, "whole", whole);

    for (size_t i = 0; all && i < TABLES; i++)
        (void)json_object_set_new(all, r->table[i].name, table_json(&r->table[i]));
    if (all)
        (void)json_dumpf(all, stdout, JSON_INDENT(2));
    (void)putchar('\n');
}

static void print_table(const struct table *t, size_t top)
{
    if (t->n == 0)
        return;
    (void)printf("\n%s\n", t->name);
    for (size_t i = 0; i < t->n && i < top; i++) {
        (void)printf("  %8llu  ", (unsigned long long)t->row[i].n);
        cli_print_safe(stdout, t->row[i].key[0] ? t->row[i].key : "-");
        (void)putchar('\n');
    }
    if (t->n > top)
        (void)printf("  and %zu more\n", t->n - top);
}

static int gather(struct report *r, struct err *e)
{
    for (size_t i = 0; i < TABLES; i++) {
        r->table[i].row = calloc(KEYS_MAX + 1, sizeof(struct count));
        if (!r->table[i].row)
            return err_set(e, ENOMEM, "count");
    }
    for (unsigned i = 0; i < AUDIT_STREAMS; i++) {
        struct audit_place at = { 0 };
        if (audit_walk(r->o->dir_fd, i, &at, take, r, NULL, e) < 0)
            return -e->code;
    }
    for (size_t i = 0; i < TABLES; i++)
        qsort(r->table[i].row, r->table[i].n, sizeof(struct count), by_count);
    return 0;
}

int audit_report(const struct audit_options *o)
{
    static const char *const names[TABLES] = { "events",   "ends",         "failures",
                                               "refusals", "authFailures", "egressDenied",
                                               "integrity" };
    struct report r = { .o = o };
    struct err e = { 0 };

    for (size_t i = 0; i < TABLES; i++)
        r.table[i].name = names[i];
    int rc = gather(&r, &e);
    int whole = rc == 0 ? audit_check(o, true, &e) : rc;
    if (whole >= 0 && o->json) {
        print_json(&r, whole == 1);
    } else if (whole >= 0) {
        (void)printf("%llu records; the record is %s\n", (unsigned long long)r.records,
                     whole == 1 ? "whole" : "NOT WHOLE: firebreak audit verify tells where");
        for (size_t i = 0; i < TABLES; i++)
            print_table(&r.table[i], i == EVENTS ? AUDIT_EVENTS : TOP);
    }
    for (size_t i = 0; i < TABLES; i++)
        free(r.table[i].row);
    if (whole < 0)
        return cli_fail(&e, NULL);
    return cli_finish_stdout(whole == 1 && r.unreadable == 0 ? CLI_OK : CLI_FAILED);
}
