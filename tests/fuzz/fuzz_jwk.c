/* SPDX-License-Identifier: Apache-2.0 */
/* Keys as JWK, and capabilities as text: what is accepted is written, read again, and the same. */
#include <string.h>

#include "auth/jwt.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf b = BUF_INIT(1 << 16);
    struct str in = { (const char *)data, size };
    struct jwt_key k, again;
    struct caps c, same;
    struct err e;

    if (jwt_key_read(in, &k, &e) == 0) {
        jwt_key_write(&k, true, &b);
        FUZZ_CHECK(buf_ok(&b) && jwt_key_read(buf_str(&b), &again, &e) == 0);
        FUZZ_CHECK(memcmp(&k, &again, sizeof k) == 0);
    }
    buf_clear(&b);
    if (caps_read_text(in, &c) == 0) {
        caps_write_text(&c, &b);
        FUZZ_CHECK(b.n < CAPS_TEXT_MAX && caps_read_text(buf_str(&b), &same) == 0);
        FUZZ_CHECK(caps_cover(&c, &same) && caps_cover(&same, &c));
    }
    return 0;
}
