/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the record: what is read is exactly what would be written; any fields make a line that is read again, in ASCII without a
 * control byte; names of files round-trip; a verifier survives any lines. */
#include <string.h>

#include "audit/chain.h"
#include "audit/head.h"
#include "audit/line.h"
#include "audit/segment.h"
#include "base/auto.h"

#include "fuzz.h"

static void is_canonical(struct str in)
{
    struct audit_line l;
    AUTO_BUF struct buf out = BUF_INIT(AUDIT_LINE_MAX);

    if (audit_line_read(in, &l) < 0)
        return;
    FUZZ_CHECK(audit_line_write(&l, &out) == 0);
    FUZZ_CHECK(str_eq(buf_str(&out), in));
}

static void any_fields_make_a_line(const uint8_t *data, size_t size)
{
    struct audit_line l = { 0 }, again;
    AUTO_BUF struct buf out = BUF_INIT(AUDIT_LINE_MAX);

    memcpy(&l.f, data, size < sizeof l.f ? size : sizeof l.f);
    l.f.real_ns %= UINT64_C(1) << 61;
    l.seq = 1;
    if (audit_line_write(&l, &out) < 0)
        return;
    for (size_t i = 0; i < out.n; i++)
        FUZZ_CHECK(out.p[i] >= 0x20 && out.p[i] < 0x7f);
    FUZZ_CHECK(audit_line_read(buf_str(&out), &again) == 0);
}

static void any_lines_are_survived(struct str in)
{
    struct audit_verifier v;
    struct audit_line l;
    struct str line;

    audit_verifier_init(&v, 1, NULL, 0);
    while (in.n > 0) {
        (void)str_cut(in, '\n', &line, &in);
        if (!audit_verifier_line(&v, line, &l))
            break;
    }
    bool whole = audit_verifier_end(&v);
    FUZZ_CHECK(whole == (v.bad_seq == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    struct audit_head h;
    struct segment s;
    char name[SEGMENT_NAME];

    is_canonical(in);
    any_fields_make_a_line(data, size);
    any_lines_are_survived(in);
    (void)audit_head_read(in, &h);
    if (segment_parse(in, &s)) {
        segment_name(&s, name);
        FUZZ_CHECK(str_eq(in, str_from(name)));
    }
    return 0;
}
