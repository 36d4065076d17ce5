/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/line.h"
#include "recorder/trail.h"

static bool follows(const struct trail_scan *s, const struct audit_line *l)
{
    return s->lines == 0 || (l->seq == s->seq + 1 && sha256_eq(&l->prev, &s->hash));
}

static void take(struct trail_scan *s, const struct audit_line *l, struct str text)
{
    if (s->lines == 0) {
        s->first_seq = l->seq;
        s->first_prev = l->prev;
    }
    s->lines++;
    s->bytes += text.n + 1;
    s->seq = l->seq;
    s->hash = sha256_of(text);
}

void trail_scan(struct str bytes, struct trail_scan *out,
                void (*seen)(void *arg, const char *request_id), void *arg)
{
    struct trail_scan s = { 0 };
    struct audit_line l;
    struct str text;
    bool good = true;

    while (str_cut(bytes, '\n', &text, &bytes)) {
        bool read = audit_line_read(text, &l) == 0;
        good = good && read && follows(&s, &l);
        if (good) {
            take(&s, &l, text);
            if (seen && l.f.request_id[0])
                seen(arg, l.f.request_id);
        } else {
            s.whole_after += read;
        }
    }
    *out = s;
}
