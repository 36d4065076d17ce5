/* SPDX-License-Identifier: Apache-2.0 */
/* Chunked bodies: fed whole and byte by byte, the same bytes come out and the same verdict. */
#include "base/buf.h"
#include "codec/http1.h"

#include "fuzz.h"

/* Returns the bytes consumed up to the end or the first refusal; *bad says which. */
static size_t decode(const char *p, size_t n, size_t step, struct buf *out, bool *bad,
                     bool *done)
{
    struct http1_chunked d = { 0 };
    size_t at = 0;

    *bad = false;
    while (at < n && !d.done) {
        struct str data;
        size_t piece = n - at < step ? n - at : step;
        long used = http1_chunked_decode(&d, p + at, piece, &data);
        if (used < 0) {
            *bad = true;
            break;
        }
        FUZZ_CHECK(used > 0 && (size_t)used <= piece);
        fuzz_check_within(data, p + at, piece);
        buf_add_str(out, data);
        at += (size_t)used;
    }
    *done = d.done;
    return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf whole = BUF_INIT(1 << 20);
    AUTO_BUF struct buf split = BUF_INIT(1 << 20);
    bool bad[2], done[2];
    size_t used = decode((const char *)data, size, size, &whole, &bad[0], &done[0]);
    size_t used_split = decode((const char *)data, size, 1, &split, &bad[1], &done[1]);

    FUZZ_CHECK(bad[0] == bad[1] && done[0] == done[1]);
    FUZZ_CHECK(bad[0] || used == used_split);
    FUZZ_CHECK(str_eq(buf_str(&whole), buf_str(&split)));
    return 0;
}
