/* SPDX-License-Identifier: Apache-2.0 */
/* Form data: the same events and the same bytes whether it is fed whole or byte by byte. */
#include "base/buf.h"
#include "codec/multipart.h"

#include "fuzz.h"

/* Writes the events as text: P name and file, D bytes, E, Z for the end, ! for a refusal. */
static void trace(struct str body, size_t step, struct buf *out)
{
    static struct multipart m;
    bool in_data = false;

    FUZZ_CHECK(multipart_init(&m, STR("multipart/form-data; boundary=x")) == 0);
    for (size_t at = 0; at < body.n; at += step) {
        struct str in = str_sub(body, at, step), data;
        for (;;) {
            struct str before = in;
            enum multipart_event e = multipart_next(&m, &in, &data);
            fuzz_check_within(in, before.p, before.n);
            if (e == MULTIPART_NEED_MORE)
                break;
            if (e == MULTIPART_DATA) {
                FUZZ_CHECK(data.n > 0);
                if (!in_data)
                    buf_add_char(out, 'D');
                in_data = true;
                buf_add_str(out, data);
                continue;
            }
            in_data = false;
            if (e == MULTIPART_BAD) {
                FUZZ_CHECK(m.bad != NULL);
                buf_add_char(out, '!');
                return;
            }
            buf_add_char(out, e == MULTIPART_PART ? 'P' : e == MULTIPART_PART_END ? 'E' : 'Z');
            if (e == MULTIPART_PART) {
                buf_add_cstr(out, m.name);
                buf_add_char(out, '\n');
                buf_add_cstr(out, m.filename);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf whole = BUF_INIT(1 << 20);
    AUTO_BUF struct buf split = BUF_INIT(1 << 20);
    struct str body = { (const char *)data, size };
    static struct multipart m;

    trace(body, size ? size : 1, &whole);
    trace(body, 1, &split);
    FUZZ_CHECK(str_eq(buf_str(&whole), buf_str(&split)));
    (void)multipart_init(&m, body); /* as a Content-Type: must only not misbehave */
    return 0;
}
