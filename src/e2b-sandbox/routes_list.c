/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/auto.h"
#include "base/log.h"
#include "codec/url.h"
#include "e2b-sandbox/answer.h"
#include "e2b-sandbox/describe.h"
#include "e2b-sandbox/list_query.h"
#include "e2b-sandbox/routes.h"

#define ANSWER_MAX (64u << 20) /* 100 rows of 64 pairs of metadata at their largest */

struct row {
    struct sandbox *s; /* a reference */
    struct list_place place;
};

struct rows {
    struct row row[WARDEN_MAX_SANDBOXES];
    struct sandbox *all[WARDEN_MAX_SANDBOXES];
    size_t n;
    unsigned n_running; /* that the asker may see, before filters */
};

static void rows_free(struct rows **rows)
{
    if (!*rows)
        return;
    for (size_t i = 0; i < (*rows)->n; i++)
        sandbox_put((*rows)->row[i].s);
    free(*rows);
}
#define AUTO_ROWS __attribute__((cleanup(rows_free)))

static int ascending(const void *a, const void *b)
{
    return list_place_compare(&((const struct row *)a)->place, &((const struct row *)b)->place);
}

static int descending(const void *a, const void *b)
{
    return ascending(b, a);
}

static bool is_wanted(const struct list_query *q, const struct sandbox *s,
                      const struct list_place *place)
{
    if (!q->running || place->started_ns <= q->started_after_ns)
        return false; /* nothing is ever paused */
    if (q->template[0] && strcmp(q->template, s->facts.template) != 0)
        return false;
    return list_metadata_matches(q->metadata, s->metadata) && list_place_follows(q, place);
}

/* The running sandboxes that the query asks for and the asker may see, sorted. NULL if out of memory. */
static struct rows *collect(struct request *r, const struct list_query *q, bool all_owners)
{
    struct rows *rows = calloc(1, sizeof *rows);
    size_t n = rows ? fleet_all(r->a->fleet, rows->all) : 0;

    for (size_t i = 0; i < n; i++) {
        struct sandbox *s = rows->all[i];
        struct sandbox_now now = sandbox_look(s);
        const struct list_place place = { now.started_ns, s->facts.id };
        bool is_running = now.state == SANDBOX_RUNNING &&
                          (all_owners || auth_may_see(&r->who, s->facts.owner, &s->facts.caps));
        rows->n_running += is_running;
        if (is_running && is_wanted(q, s, &place))
            rows->row[rows->n++] = (struct row){ s, place };
        else
            sandbox_put(s);
    }
    if (rows)
        qsort(rows->row, rows->n, sizeof rows->row[0], q->ascending ? ascending : descending);
    return rows;
}

static void list(struct request *r, const struct list_query *q, size_t limit, bool has_pages)
{
    int all_owners = routes_all_owners(r);
    if (all_owners < 0)
        return;
    AUTO_ROWS struct rows *rows = collect(r, q, all_owners);
    AUTO_BUF struct buf b = BUF_INIT(ANSWER_MAX);
    char headers[160], cursor[LIST_CURSOR_MAX];

    if (!rows) {
        answer_error(r->c, 500, "internal_server_error", NULL, "out of memory");
        return;
    }
    size_t n = rows->n < limit ? rows->n : limit;
    buf_add_char(&b, '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_add_char(&b, ',');
        describe_listed(rows->row[i].s, &b);
    }
    buf_add_char(&b, ']');
    int h = snprintf(headers, sizeof headers, "X-Total-Running: %u\r\n", rows->n_running);
    if (has_pages && n < rows->n) {
        list_cursor_write(&rows->row[n - 1].place, q->ascending, cursor);
        (void)snprintf(headers + h, sizeof headers - (size_t)h, "X-Next-Token: %s\r\n", cursor);
    }
    answer_json(r->c, 200, headers, &b);
}

static bool read_query(struct request *r, struct list_query *q)
{
    struct err e = { 0 };

    if (list_query_parse(http_query(r->c), q, &e) == 0)
        return true;
    answer_error(r->c, 400, NULL, NULL, "%s", e.text);
    return false;
}

void route_list_v2(struct request *r)
{
    AUTO_LIST_QUERY struct list_query q = { 0 };

    if (read_query(r, &q))
        list(r, &q, q.limit, true);
}

/* The older form knows the metadata filter only and has no pages. */
void route_list_v1(struct request *r)
{
    AUTO_LIST_QUERY struct list_query q = { 0 };

    if (!read_query(r, &q))
        return;
    q.running = true;
    q.has_place = false;
    q.template[0] = 0;
    q.started_after_ns = 0;
    list(r, &q, WARDEN_MAX_SANDBOXES, false);
}

/* --- templates --- */

struct template_list {
    struct request *r;
    struct buf b;
    bool is_first;
};

static int add_template(const struct template *t, void *arg)
{
    struct template_list *l = arg;
    struct template_use use = { 0 };
    struct err e;

    if (registry_template_use(l->r->a->registry, l->r->who.owner, t->name, &use, &e) < 0)
        log_error("registry_failed", "template=%s err=\"%s\"", t->name, e.text);
    if (!l->is_first)
        buf_add_char(&l->b, ',');
    l->is_first = false;
    describe_template(t, &use, &l->b);
    return 0;
}

static void note_broken(const char *file, const struct err *why, void *arg)
{
    (void)arg;
    log_error("template_unreadable", "template=%s err=\"%s\"", file, why->text);
}

void route_templates(struct request *r)
{
    struct template_list l = { .r = r, .b = BUF_INIT(4u << 20), .is_first = true };
    struct err e = { 0 };

    buf_add_char(&l.b, '[');
    if (template_each(r->a->templates_fd, add_template, note_broken, &l, &e) < 0) {
        log_error("template_unreadable", "err=\"%s\"", e.text);
        answer_error(r->c, 500, "internal_server_error", NULL,
                     "the templates cannot be read: see the server's log");
    } else {
        buf_add_char(&l.b, ']');
        answer_json(r->c, 200, NULL, &l.b);
    }
    buf_fini(&l.b);
}

void route_template_alias(struct request *r)
{
    AUTO_BUF struct buf b = BUF_INIT(512);
    AUTO_TEMPLATE struct template t = { 0 };
    struct template_ref ref;
    struct err e = { 0 };

    if (template_ref_parse(str_from(r->param[0]), &ref) < 0 || !ref.has_known_tag ||
        template_find(r->a->templates_fd, str_from(ref.name), &t, &e) < 0) {
        answer_error(r->c, 404, NULL, NULL, "template alias '%s' not found", r->param[0]);
        return;
    }
    buf_addf(&b, "{\"templateID\":\"%s\",\"public\":false}", t.name);
    answer_json(r->c, 200, NULL, &b);
}
