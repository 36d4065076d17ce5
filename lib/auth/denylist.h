/* SPDX-License-Identifier: Apache-2.0 */
/* auth/denylist: tokens that were revoked before they expired, in memory; whoever keeps one stores the rows elsewhere. Bounded:
 * a row is forgotten when no token that it could name is valid any more. Pure; a plain value, zeroed it is empty. The caller gives a
 * lock and the time (seconds since 1970). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/digest.h"

#define DENYLIST_MAX 8192u

struct denied {
    struct digest what;
    int64_t cutoff_s; /* tokens issued then or before are denied */
    int64_t until_s;  /* afterwards all of those have expired */
};

struct denylist {       /* private */
    struct denied *row; /* owned, sorted by `what` */
    size_t n;
};

void denylist_fini(struct denylist *d);
/* 0; -ENOSPC if it is full of rows that still matter; -ENOMEM. A second row for the same widens the first. */
int denylist_add(struct denylist *d, const struct denied *row, int64_t now_s);
bool denylist_has(const struct denylist *d, const struct digest *what, int64_t issued_s);
