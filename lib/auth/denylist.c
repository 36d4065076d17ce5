/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/denylist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void denylist_fini(struct denylist *d)
{
    free(d->row);
    *d = (struct denylist){ 0 };
}

/* The first row that is not before `what`. */
static size_t place_of(const struct denylist *d, const struct digest *what)
{
    size_t low = 0, high = d->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(&d->row[middle].what, what, sizeof *what) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct denylist *d, size_t at, const struct digest *what)
{
    return at < d->n && memcmp(&d->row[at].what, what, sizeof *what) == 0;
}

static void forget_old(struct denylist *d, int64_t now_s)
{
    size_t kept = 0;

    for (size_t i = 0; i < d->n; i++)
        if (d->row[i].until_s >= now_s)
            d->row[kept++] = d->row[i];
    d->n = kept;
}

int denylist_add(struct denylist *d, const struct denied *row, int64_t now_s)
{
    if (!d->row && !(d->row = calloc(DENYLIST_MAX, sizeof *d->row)))
        return -ENOMEM;
    size_t at = place_of(d, &row->what);
    if (is_at(d, at, &row->what)) {
        if (row->cutoff_s > d->row[at].cutoff_s)
            d->row[at].cutoff_s = row->cutoff_s;
        if (row->until_s > d->row[at].until_s)
            d->row[at].until_s = row->until_s;
        return 0;
    }
    if (d->n == DENYLIST_MAX) {
        forget_old(d, now_s);
        if (d->n == DENYLIST_MAX)
            return -ENOSPC;
        at = place_of(d, &row->what);
    }
    memmove(d->row + at + 1, d->row + at, (d->n - at) * sizeof *d->row);
    d->row[at] = *row;
    d->n++;
    return 0;
}

bool denylist_has(const struct denylist *d, const struct digest *what, int64_t issued_s)
{
    size_t at = place_of(d, what);

    return is_at(d, at, what) && issued_s <= d->row[at].cutoff_s;
}
