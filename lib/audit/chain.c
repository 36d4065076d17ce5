/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/chain.h"

#include <stdarg.h>
#include <stdio.h>

#include "audit/segment.h"
#include "base/clock.h"

struct sha256 audit_genesis(unsigned stream)
{
    char text[64];
    int n = snprintf(text, sizeof text, "firebreak audit %s/%ud",
                     audit_job_text(audit_stream_job(stream)), audit_stream_days(stream));

    return sha256_of((struct str){ text, (size_t)n });
}

void audit_verifier_init(struct audit_verifier *v, unsigned stream,
                         const struct audit_point *point, size_t n)
{
    *v =
        (struct audit_verifier){ .point = point, .n_points = n, .hash = audit_genesis(stream) };
}

static bool bad(struct audit_verifier *v, uint64_t seq, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static bool bad(struct audit_verifier *v, uint64_t seq, const char *fmt, ...)
{
    va_list ap;

    v->bad_seq = seq;
    va_start(ap, fmt);
    (void)vsnprintf(v->why, sizeof v->why, fmt, ap);
    va_end(ap);
    return false;
}

static const char *when(const struct audit_point *p, char out[CLOCK_TEXT_MAX])
{
    clock_format_rfc3339(p->real_ns, 0, out);
    return out;
}

/* The stream begins with record `seq`: fine for 1, and where a head says that the ones before it were purged. */
static bool begins(struct audit_verifier *v, uint64_t seq, const struct sha256 *prev)
{
    uint64_t first = 1;

    for (size_t i = 0; i < v->n_points && seq > 1; i++) {
        first = v->point[i].first_seq;
        if (first == seq && sha256_eq(&v->point[i].first_prev, prev)) {
            v->hash = *prev;
            break;
        }
        if (first >= seq)
            break;
    }
    v->first_seq = seq;
    v->seq = seq - 1;
    if (first == seq || seq == 1)
        return true;
    return bad(v, first < seq ? first : seq,
               "it is missing: the stream begins with record %llu, and no signed head says so",
               (unsigned long long)seq);
}

/* The signed heads of the line just taken. */
static bool agrees(struct audit_verifier *v)
{
    char text[CLOCK_TEXT_MAX];

    while (v->at < v->n_points && v->point[v->at].seq < v->seq)
        v->at++;
    for (; v->at < v->n_points && v->point[v->at].seq == v->seq; v->at++)
        if (!sha256_eq(&v->point[v->at].hash, &v->hash))
            return bad(v, v->seq, "it is not the record that was signed at %s",
                       when(&v->point[v->at], text));
    return true;
}

/* The last line, `seq`, did not name the one before it. One of both was changed: `confirmed` if something else knows the last. */
static bool settle(struct audit_verifier *v, bool confirmed)
{
    uint64_t one = confirmed && v->seq > v->first_seq ? v->seq - 1 : v->seq;

    return bad(v, one,
               one < v->seq ? "it is not the one that record %llu follows"
                            : "it does not follow record %llu",
               (unsigned long long)(one < v->seq ? v->seq : v->seq - 1));
}

static bool is_signed(const struct audit_verifier *v)
{
    for (size_t i = v->at; i < v->n_points; i++)
        if (v->point[i].seq == v->seq)
            return sha256_eq(&v->point[i].hash, &v->hash);
    return false;
}

bool audit_verifier_line(struct audit_verifier *v, struct str text, struct audit_line *l)
{
    if (v->bad_seq)
        return false;
    bool read = audit_line_read(text, l) == 0;
    if (v->in_doubt)
        return settle(v, read ? l->seq == v->seq + 1 && sha256_eq(&l->prev, &v->hash)
                              : is_signed(v));
    if (!read)
        return bad(v, v->seq + 1, "its line is no record");
    if (v->first_seq == 0 && !begins(v, l->seq, &l->prev))
        return false;
    if (l->seq != v->seq + 1)
        return bad(v, v->seq + 1, "it is missing: record %llu stands in its place",
                   (unsigned long long)l->seq);
    v->in_doubt = !sha256_eq(&l->prev, &v->hash);
    v->hash = sha256_of(text);
    v->seq = l->seq;
    return v->in_doubt || agrees(v);
}

bool audit_verifier_end(struct audit_verifier *v)
{
    char text[CLOCK_TEXT_MAX];

    if (v->bad_seq)
        return false;
    if (v->in_doubt)
        return settle(v, is_signed(v));
    for (size_t i = v->n_points; i-- > 0;)
        if (v->point[i].seq > v->seq && v->point[i].first_seq <= v->point[i].seq)
            return bad(v, v->seq > 0 ? v->seq + 1 : v->point[i].first_seq,
                       "it is missing: a head signed at %s goes to record %llu",
                       when(&v->point[i], text), (unsigned long long)v->point[i].seq);
    return true;
}
