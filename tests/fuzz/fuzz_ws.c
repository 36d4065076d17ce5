/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket frames: what is accepted can be written again to the same header. */
#include <string.h>

#include "codec/ws.h"

#include "fuzz.h"

static void check_frame(const uint8_t *data, size_t size, bool from_client)
{
    struct ws_frame f = { 0 }, g = { 0 };
    unsigned code = 0;
    AUTO_BUF struct buf out = BUF_INIT(1 << 20);
    int n = ws_parse_header(data, size, from_client, 65536, &f, &code);

    FUZZ_CHECK(n <= (int)size && n <= 14);
    if (n < 0) {
        FUZZ_CHECK(code == 1002 || code == 1009);
        return;
    }
    if (n == 0)
        return;
    FUZZ_CHECK(f.length <= 65536 && f.masked == from_client);
    if ((uint64_t)(size - (size_t)n) < f.length)
        return;
    struct str payload = { (const char *)data + n, (size_t)f.length };
    AUTO_BUF struct buf plain = BUF_INIT(1 << 20);
    buf_add_str(&plain, payload);
    if (f.masked && plain.n > 0)
        ws_mask(plain.p, plain.n, f.mask, 0);
    ws_write(&out, f.fin, f.opcode, f.masked ? f.mask : NULL, buf_str(&plain));
    FUZZ_CHECK(buf_ok(&out) && out.n == (size_t)n + f.length);
    FUZZ_CHECK(memcmp(out.p, data, out.n) == 0);
    FUZZ_CHECK(ws_parse_header(out.p, out.n, from_client, 65536, &g, &code) == n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char accept[29];

    check_frame(data, size, true);
    check_frame(data, size, false);
    (void)ws_accept((struct str){ (const char *)data, size }, accept);
    return 0;
}
