/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/ckd.h"

#define FIRST_CAP 64u

void buf_fini(struct buf *b)
{
    free(b->p);
    *b = (struct buf){ .max = b->max };
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = 0;
    if (b->p)
        b->p[0] = 0;
}

bool buf_ok(const struct buf *b)
{
    return b->failed == 0;
}

static char *fail(struct buf *b, int code)
{
    b->failed = code;
    return NULL;
}

char *buf_reserve(struct buf *b, size_t n)
{
    size_t need;

    if (b->failed)
        return NULL;
    if (ckd_add(&need, b->n, n) || need > b->max)
        return fail(b, EMSGSIZE);
    if (need < b->cap)
        return b->p + b->n; /* one byte is left for the NUL */
    size_t cap = b->cap ? b->cap : FIRST_CAP;
    while (cap <= need)
        if (ckd_mul(&cap, cap, 2u))
            return fail(b, ENOMEM);
    if (cap > b->max && b->max < SIZE_MAX)
        cap = b->max + 1; /* the limit is one of memory, too */
    char *p = realloc(b->p, cap);
    if (!p)
        return fail(b, ENOMEM);
    b->p = p;
    b->cap = cap;
    b->p[b->n] = 0;
    return b->p + b->n;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    char *to = buf_reserve(b, n);

    if (!to)
        return;
    if (n > 0)
        memcpy(to, p, n);
    b->n += n;
    b->p[b->n] = 0;
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

void buf_add_cstr(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_add_u64(struct buf *b, uint64_t v)
{
    buf_addf(b, "%" PRIu64, v);
}

void buf_add_i64(struct buf *b, int64_t v)
{
    buf_addf(b, "%" PRId64, v);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    char small[512];
    va_list ap, again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(small, sizeof small, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = b->failed ? b->failed : EINVAL;
    } else if ((size_t)n < sizeof small) {
        buf_add(b, small, (size_t)n);
    } else {
        char *to = buf_reserve(b, (size_t)n);
        if (to) {
            (void)vsnprintf(to, (size_t)n + 1, fmt, again);
            b->n += (size_t)n;
        }
    }
    va_end(again);
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= b->n);
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
    b->p[b->n] = 0;
}

void buf_truncate(struct buf *b, size_t n)
{
    ASSERT(n <= b->n);
    b->n = n;
    if (b->p)
        b->p[n] = 0;
}

struct str buf_str(const struct buf *b)
{
    return (struct str){ b->p, b->n };
}

const char *buf_cstr(const struct buf *b)
{
    return b->p ? b->p : "";
}
