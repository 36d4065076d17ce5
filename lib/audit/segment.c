/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/segment.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/num.h"

#define NS_PER_DAY (86400 * NS_PER_S)

static const unsigned keep_days[AUDIT_KEEPS] = { 30, 90, 365 };

unsigned audit_stream_of(uint32_t job, unsigned days)
{
    unsigned keep = 0;

    while (keep + 1 < AUDIT_KEEPS && keep_days[keep] < days)
        keep++;
    return job * AUDIT_KEEPS + keep;
}

uint32_t audit_stream_job(unsigned stream)
{
    return stream / AUDIT_KEEPS;
}

unsigned audit_stream_days(unsigned stream)
{
    return keep_days[stream % AUDIT_KEEPS];
}

uint32_t segment_day(uint64_t real_ns)
{
    return (uint32_t)(real_ns / NS_PER_DAY); /* below 2^18 */
}

void segment_name(const struct segment *s, char out[SEGMENT_NAME])
{
    char date[CLOCK_TEXT_MAX];

    clock_format_rfc3339(s->day * NS_PER_DAY, 0, date);
    if (s->part == 0)
        (void)snprintf(out, SEGMENT_NAME, "%.10s.jsonl", date);
    else
        (void)snprintf(out, SEGMENT_NAME, "%.10s.%u.jsonl", date, s->part);
}

bool segment_parse(struct str name, struct segment *out)
{
    char when[CLOCK_TEXT_MAX], again[SEGMENT_NAME];
    struct str date = str_sub(name, 0, 10), part = str_sub(name, 10, name.n);
    uint64_t real_ns, n = 0;

    if (date.n != 10 || !str_ends(part, STR(".jsonl")))
        return false;
    part.n -= sizeof ".jsonl" - 1;
    (void)snprintf(when, sizeof when, "%.10sT00:00:00Z", date.p);
    if (clock_parse_rfc3339(when, &real_ns) < 0 ||
        (part.n > 0 &&
         (part.p[0] != '.' || num_parse_u64(str_sub(part, 1, part.n), 1, 999999, &n) < 0)))
        return false;
    struct segment s = { segment_day(real_ns), (uint32_t)n };
    segment_name(&s, again);
    if (!str_eq(name, str_from(again)))
        return false;
    *out = s;
    return true;
}

int segment_compare(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;

    if (x->day != y->day)
        return x->day < y->day ? -1 : 1;
    return (x->part > y->part) - (x->part < y->part);
}

bool segment_is_over(const struct segment *s, unsigned days, uint64_t real_ns)
{
    return real_ns / NS_PER_DAY >= (uint64_t)s->day + 1 + days;
}
