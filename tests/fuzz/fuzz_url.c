/* SPDX-License-Identifier: Apache-2.0 */
/* Percent-encoding and targets: decoding what was encoded gives it back, and walks end. */
#include <errno.h>

#include "codec/url.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size }, path, query, a, b;
    AUTO_BUF struct buf decoded = BUF_INIT(1 << 20);
    AUTO_BUF struct buf encoded = BUF_INIT(4 << 20);
    AUTO_BUF struct buf again = BUF_INIT(1 << 20);
    size_t steps = 0;

    if (url_decode(in, false, &decoded) == 0) {
        FUZZ_CHECK(decoded.n <= size);
        url_encode(buf_str(&decoded), &encoded);
        if (!str_find(buf_str(&decoded), 0, &steps)) {
            FUZZ_CHECK(url_decode(buf_str(&encoded), false, &again) == 0);
            FUZZ_CHECK(str_eq(buf_str(&again), buf_str(&decoded)));
        }
    } else {
        FUZZ_CHECK(decoded.n == 0);
    }
    url_split_target(in, &path, &query);
    fuzz_check_within(path, data, size);
    fuzz_check_within(query, data, size);
    for (steps = 0; url_next_segment(&path, &a); steps++) {
        fuzz_check_within(a, data, size);
        FUZZ_CHECK(steps <= size);
    }
    for (steps = 0; url_next_pair(&query, &a, &b); steps++) {
        fuzz_check_within(a, data, size);
        fuzz_check_within(b, data, size);
        FUZZ_CHECK(steps <= size);
    }
    buf_clear(&again);
    url_split_target(in, &path, &query);
    int rc = url_query_get(query, "path", &again);
    FUZZ_CHECK(rc == 0 || rc == -ENOENT || rc == -EINVAL);
    return 0;
}
