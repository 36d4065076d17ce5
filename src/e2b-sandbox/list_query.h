/* SPDX-License-Identifier: Apache-2.0 */
/* e2b-sandbox/list_query: the query of GET /v2/sandboxes (e2b-wire 2.6), checked, and its cursor. Pure.
 *
 * Sandboxes are listed by (start, id), which is unique and never changes. A cursor is the place of the last row of a page, so
 * that rows which come or go meanwhile neither repeat nor hide others. */
#pragma once
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "ipc/ids.h"

#define LIST_LIMIT_MAX  100u
#define LIST_PAIRS_MAX  64u
#define LIST_VALUE_MAX  8192u
#define LIST_CURSOR_MAX 64u

struct list_place {
    uint64_t started_ns;
    struct sandbox_id id;
};

struct list_query {
    bool running, paused; /* which states */
    bool ascending;
    uint32_t limit;
    uint64_t started_after_ns; /* 0: no such filter */
    char template[193];        /* "": no such filter */
    json_t
        *metadata; /* owned; an object of strings that must all match; NULL: no such filter */
    bool has_place;
    struct list_place place; /* rows behind it, in the order of the list */
};
void list_query_fini(struct list_query *q);
#define AUTO_LIST_QUERY __attribute__((cleanup(list_query_fini)))

/* 0 with *out initialised, or -EINVAL with *e naming the parameter. */
int list_query_parse(struct str query, struct list_query *out, struct err *e);

/* a before b (< 0), the same (0), or after (> 0), ascending. */
int list_place_compare(const struct list_place *a, const struct list_place *b);
/* Is a row at `p` still to come? */
bool list_place_follows(const struct list_query *q, const struct list_place *p);
/* Do all pairs of the filter stand in the (possibly NULL) metadata? */
bool list_metadata_matches(const json_t *filter, const json_t *metadata);

/* The cursor for going on behind `p`; made of characters that need no encoding in a URL. */
void list_cursor_write(const struct list_place *p, bool ascending, char out[LIST_CURSOR_MAX]);
/* 0 or -EINVAL. */
int list_cursor_read(struct str text, struct list_place *p, bool *ascending);
