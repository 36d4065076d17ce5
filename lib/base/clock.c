/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/assert.h"
#include "base/ckd.h"
#include "base/num.h"

static uint64_t now(clockid_t id)
{
    struct timespec t;

    ASSERT(clock_gettime(id, &t) == 0); /* fails for unknown clocks only */
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return now(CLOCK_MONOTONIC);
}
uint64_t clock_boot_ns(void)
{
    return now(CLOCK_BOOTTIME);
}
uint64_t clock_real_ns(void)
{
    return now(CLOCK_REALTIME);
}

void clock_format_rfc3339(uint64_t real_ns, unsigned decimals, char out[CLOCK_TEXT_MAX])
{
    time_t s = (time_t)(real_ns / NS_PER_S);
    uint64_t frac = real_ns % NS_PER_S;
    struct tm tm;

    ASSERT(gmtime_r(&s, &tm));
    size_t n = strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    for (unsigned i = decimals; i < 9; i++)
        frac /= 10;
    if (decimals > 0)
        (void)snprintf(out + n, CLOCK_TEXT_MAX - n, ".%0*lluZ",
                       (int)(decimals < 9 ? decimals : 9), (unsigned long long)frac);
    else
        (void)snprintf(out + n, CLOCK_TEXT_MAX - n, "Z");
}

static int take(struct str *s, size_t digits, uint64_t min, uint64_t max, uint64_t *out)
{
    if (s->n < digits || num_parse_u64(str_sub(*s, 0, digits), min, max, out) < 0)
        return -EINVAL;
    *s = str_sub(*s, digits, s->n);
    return 0;
}

static int skip(struct str *s, const char *one_of)
{
    for (const char *c = one_of; *c; c++) {
        if (s->n > 0 && s->p[0] == *c) {
            *s = str_sub(*s, 1, s->n);
            return 0;
        }
    }
    return -EINVAL;
}

static int take_fraction(struct str *s, uint64_t *ns)
{
    uint64_t scale = NS_PER_S;
    size_t n = 0;

    *ns = 0;
    if (skip(s, ".") < 0)
        return 0;
    for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++) {
        scale /= 10;
        *ns += scale * (uint64_t)(s->p[n] - '0');
    }
    if (n == 0 || n > 9)
        return -EINVAL;
    *s = str_sub(*s, n, s->n);
    return 0;
}

/* Seconds east of UTC. */
static int take_offset(struct str *s, int64_t *offset)
{
    uint64_t h, m;
    bool west;

    *offset = 0;
    if (skip(s, "Zz") == 0)
        return 0;
    west = s->n > 0 && s->p[0] == '-';
    if (skip(s, "+-") < 0 || take(s, 2, 0, 23, &h) < 0 || skip(s, ":") < 0 ||
        take(s, 2, 0, 59, &m) < 0)
        return -EINVAL;
    *offset = (int64_t)(h * 3600 + m * 60) * (west ? -1 : 1);
    return 0;
}

int clock_parse_rfc3339(const char *text, uint64_t *real_ns)
{
    struct str s = str_from(text);
    uint64_t y, mo, d, h, mi, sec, frac;
    int64_t offset;

    if (take(&s, 4, 1970, 9999, &y) < 0 || skip(&s, "-") < 0 || take(&s, 2, 1, 12, &mo) < 0 ||
        skip(&s, "-") < 0 || take(&s, 2, 1, 31, &d) < 0 || skip(&s, "Tt ") < 0 ||
        take(&s, 2, 0, 23, &h) < 0 || skip(&s, ":") < 0 || take(&s, 2, 0, 59, &mi) < 0 ||
        skip(&s, ":") < 0 || take(&s, 2, 0, 60, &sec) < 0 || take_fraction(&s, &frac) < 0 ||
        take_offset(&s, &offset) < 0 || s.n != 0)
        return -EINVAL;
    struct tm tm = { .tm_year = (int)y - 1900,
                     .tm_mon = (int)mo - 1,
                     .tm_mday = (int)d,
                     .tm_hour = (int)h,
                     .tm_min = (int)mi };
    time_t t = timegm(&tm) + (time_t)sec; /* a leap second is the first of the next minute */
    if (tm.tm_mday != (int)d ||
        t - offset < 0) /* the 31st of a shorter month was carried over */
        return -EINVAL;
    uint64_t ns;
    if (ckd_mul(&ns, (uint64_t)(t - offset), NS_PER_S) || ckd_add(&ns, ns, frac))
        return -EINVAL;
    *real_ns = ns;
    return 0;
}
