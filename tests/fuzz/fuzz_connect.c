/* SPDX-License-Identifier: Apache-2.0 */
/* Connect envelopes, and base64, which their JSON carries: encode after decode gives the input back. */
#include <errno.h>
#include <string.h>

#include "codec/base64.h"
#include "codec/connect.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned flags = 0;
    struct str payload = { 0 };
    AUTO_BUF struct buf out = BUF_INIT(1 << 20);
    AUTO_BUF struct buf bytes = BUF_INIT(1 << 20);
    AUTO_BUF struct buf text = BUF_INIT(2 << 20);
    long n = connect_read(data, size, 65536, &flags, &payload);

    FUZZ_CHECK(n <= (long)size);
    if (n > 0) {
        fuzz_check_within(payload, data, size);
        connect_write(&out, flags, payload);
        FUZZ_CHECK(out.n == (size_t)n && memcmp(out.p, data, out.n) == 0);
    } else {
        FUZZ_CHECK(n == 0 || n == -EMSGSIZE || n == -EPROTO);
    }
    if (base64_decode((struct str){ (const char *)data, size }, &bytes) == 0) {
        AUTO_BUF struct buf again = BUF_INIT(1 << 20);
        base64_encode(bytes.p, bytes.n, &text);
        FUZZ_CHECK(base64_decode(buf_str(&text), &again) == 0);
        FUZZ_CHECK(str_eq(buf_str(&bytes), buf_str(&again)));
    } else {
        FUZZ_CHECK(bytes.n == 0);
    }
    return 0;
}
