/* SPDX-License-Identifier: Apache-2.0 */
#include "base/num.h"

#include <errno.h>

#include "base/ckd.h"

static int digit(char c, unsigned base)
{
    int v = -1;

    if (c >= '0' && c <= '9')
        v = c - '0';
    else if (c >= 'a' && c <= 'f')
        v = c - 'a' + 10;
    else if (c >= 'A' && c <= 'F')
        v = c - 'A' + 10;
    return v < (int)base ? v : -1;
}

/* All digits are looked at before the range, so that "99x" is never "too large". */
static int parse(struct str s, unsigned base, uint64_t *out)
{
    uint64_t v = 0;
    bool over = false;

    if (s.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i++) {
        int d = digit(s.p[i], base);
        if (d < 0)
            return -EINVAL;
        over = over || ckd_mul(&v, v, (uint64_t)base) || ckd_add(&v, v, (uint64_t)d);
    }
    *out = v;
    return over ? -ERANGE : 0;
}

int num_parse_u64(struct str s, uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t v;
    int rc = parse(s, 10, &v);

    if (rc < 0)
        return rc;
    if (v < min || v > max)
        return -ERANGE;
    *out = v;
    return 0;
}

int num_parse_i64(struct str s, int64_t min, int64_t max, int64_t *out)
{
    bool negative = s.n > 0 && s.p[0] == '-';
    uint64_t v;
    int64_t r;
    int rc = parse(negative ? str_sub(s, 1, s.n) : s, 10, &v);

    if (rc < 0)
        return rc;
    if (negative ? ckd_sub(&r, INT64_C(0), v) : ckd_add(&r, INT64_C(0), v))
        return -ERANGE;
    if (r < min || r > max)
        return -ERANGE;
    *out = r;
    return 0;
}

int num_parse_hex_u64(struct str s, uint64_t max, uint64_t *out)
{
    uint64_t v;
    int rc = parse(s, 16, &v);

    if (rc < 0)
        return rc;
    if (v > max)
        return -ERANGE;
    *out = v;
    return 0;
}
