/* SPDX-License-Identifier: Apache-2.0 */
#include "e2b-sandbox/list_query.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/auto.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/num.h"
#include "codec/json.h"
#include "codec/url.h"
#include "ipc/ipc.h"

struct reading { /* what list_query cannot say yet: whether a parameter was there */
    struct list_query *q;
    bool has_states, has_order, has_cursor, cursor_ascending;
};

void list_query_fini(struct list_query *q)
{
    json_decref(q->metadata);
    q->metadata = NULL;
}

/* --- cursor: "<hex ns>.<id>.<a|d>" --- */

void list_cursor_write(const struct list_place *p, bool ascending, char out[LIST_CURSOR_MAX])
{
    (void)snprintf(out, LIST_CURSOR_MAX, "%" PRIx64 ".%.20s.%c", p->started_ns, p->id.text,
                   ascending ? 'a' : 'd');
}

int list_cursor_read(struct str text, struct list_place *p, bool *ascending)
{
    struct list_place at = { 0 };
    struct str time, id, order;

    if (!str_cut(text, '.', &time, &id) || !str_cut(id, '.', &id, &order))
        return -EINVAL;
    if (num_parse_hex_u64(time, UINT64_MAX, &at.started_ns) < 0 ||
        str_copy(id, at.id.text, sizeof at.id.text) < 0 || !sandbox_id_ok(&at.id))
        return -EINVAL;
    if (!str_eq(order, STR("a")) && !str_eq(order, STR("d")))
        return -EINVAL;
    *ascending = str_eq(order, STR("a"));
    *p = at;
    return 0;
}

int list_place_compare(const struct list_place *a, const struct list_place *b)
{
    if (a->started_ns != b->started_ns)
        return a->started_ns < b->started_ns ? -1 : 1;
    return memcmp(&a->id, &b->id, sizeof a->id);
}

bool list_place_follows(const struct list_query *q, const struct list_place *p)
{
    if (!q->has_place)
        return true;
    int order = list_place_compare(p, &q->place);
    return q->ascending ? order > 0 : order < 0;
}

bool list_metadata_matches(const json_t *filter, const json_t *metadata)
{
    const char *key;
    json_t *want;

    json_object_foreach(
        (json_t *)(uintptr_t)filter, key,
        want) if (!json_equal(want, json_object_get(metadata, key))) return false;
    return true;
}

/* --- parameters, decoded --- */

static int bad(const char *name, const char *want, struct err *e)
{
    return err_say(e, EINVAL, "query parameter '%s' must be %s", name, want);
}

static int take_state(struct reading *r, struct str value, struct err *e)
{
    struct str word;
    bool more;

    if (!r->has_states)
        r->q->running = r->q->paused = false;
    r->has_states = true;
    do {
        more = str_cut(value, ',', &word, &value);
        if (str_eq(word, STR("running")))
            r->q->running = true;
        else if (str_eq(word, STR("paused")))
            r->q->paused = true;
        else
            return bad("state", "running, paused or both with a comma between them", e);
    } while (more);
    return 0;
}

static int take_order(struct reading *r, struct str value, struct err *e)
{
    r->has_order = true;
    r->q->ascending = str_eq(value, STR("asc"));
    return r->q->ascending || str_eq(value, STR("desc")) ? 0 : bad("order", "asc or desc", e);
}

static int take_limit(struct reading *r, struct str value, struct err *e)
{
    uint64_t v;

    if (num_parse_u64(value, 1, LIST_LIMIT_MAX, &v) < 0)
        return bad("limit", "a number from 1 to 100", e);
    r->q->limit = (uint32_t)v;
    return 0;
}

static int take_started_after(struct reading *r, struct str value, struct err *e)
{
    char text[CLOCK_TEXT_MAX];

    if (str_copy(value, text, sizeof text) < 0 ||
        clock_parse_rfc3339(text, &r->q->started_after_ns) < 0)
        return bad("startedAfter", "a time as in RFC 3339, such as 2026-01-02T03:04:05Z", e);
    return 0;
}

static int take_template(struct reading *r, struct str value, struct err *e)
{
    return str_copy(value, r->q->template, sizeof r->q->template) < 0
               ? bad("template", "a template id", e)
               : 0;
}

static int take_cursor(struct reading *r, struct str value, struct err *e)
{
    if (value.n == 0)
        return 0; /* clients send the empty one that they start with */
    if (list_cursor_read(value, &r->q->place, &r->cursor_ascending) < 0)
        return bad("nextToken", "what X-Next-Token said", e);
    r->has_cursor = true;
    return 0;
}

/* Keys and values were URI-encoded before the pairs were form-encoded: they are decoded once more. */
static int take_pair(json_t *map, struct str key, struct str value)
{
    AUTO_BUF struct buf form = BUF_INIT(LIST_VALUE_MAX);
    AUTO_BUF struct buf k = BUF_INIT(LIST_VALUE_MAX);
    AUTO_BUF struct buf v = BUF_INIT(LIST_VALUE_MAX);

    if (url_decode(key, true, &form) < 0 || url_decode(buf_str(&form), false, &k) < 0)
        return -EINVAL;
    buf_clear(&form);
    if (url_decode(value, true, &form) < 0 || url_decode(buf_str(&form), false, &v) < 0)
        return -EINVAL;
    if (!buf_ok(&form) || !buf_ok(&k) || !buf_ok(&v) || json_object_size(map) >= LIST_PAIRS_MAX)
        return -EINVAL;
    json_t *text = json_stringn(buf_cstr(&v), v.n); /* NULL unless it is UTF-8 */
    return text && json_object_set_new(map, buf_cstr(&k), text) == 0 ? 0 : -EINVAL;
}

static int take_metadata(struct reading *r, struct str value, struct err *e)
{
    struct str key, v;

    if (!r->q->metadata)
        r->q->metadata = json_object();
    while (url_next_pair(&value, &key, &v))
        if (!r->q->metadata || take_pair(r->q->metadata, key, v) < 0)
            return bad("metadata", "at most 64 pairs key=value&key=value, each URI-encoded", e);
    return 0;
}

static int take(struct reading *r, struct str key, struct str value, struct err *e)
{
    static const struct {
        const char *name;
        int (*take)(struct reading *r, struct str value, struct err *e);
    } known[] = {
        { "state", take_state },       { "order", take_order },
        { "limit", take_limit },       { "startedAfter", take_started_after },
        { "template", take_template }, { "nextToken", take_cursor },
        { "metadata", take_metadata },
    };

    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_eq(key, str_from(known[i].name)))
            return known[i].take(r, value, e);
    return 0; /* unknown parameters are ignored, as unknown fields are */
}

static int take_all(struct reading *r, struct str query, struct err *e)
{
    struct str key, value;

    while (url_next_pair(&query, &key, &value)) {
        AUTO_BUF struct buf k = BUF_INIT(64);
        AUTO_BUF struct buf v = BUF_INIT(LIST_VALUE_MAX);
        if (url_decode(key, true, &k) < 0 || url_decode(value, true, &v) < 0)
            return err_say(e, EINVAL, "the query is not percent-encoded correctly");
        if (!buf_ok(&k))
            continue; /* longer than any name we know */
        if (!buf_ok(&v))
            return err_say(e, EINVAL, "query parameter '%s' is too long", buf_cstr(&k));
        if (take(r, buf_str(&k), buf_str(&v), e) < 0)
            return -e->code;
    }
    return 0;
}

int list_query_parse(struct str query, struct list_query *out, struct err *e)
{
    AUTO_LIST_QUERY struct list_query q = { .running = true,
                                            .paused = true,
                                            .limit = LIST_LIMIT_MAX };
    struct reading r = { .q = &q };

    if (take_all(&r, query, e) < 0)
        return -e->code;
    if (r.has_cursor && r.has_order && r.cursor_ascending != q.ascending)
        return bad("nextToken", "of a list in the same order", e);
    if (r.has_cursor)
        q.ascending = r.cursor_ascending;
    q.has_place = r.has_cursor;
    *out = q;
    q.metadata = NULL; /* out owns it now */
    return 0;
}
