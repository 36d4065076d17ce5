/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is accepted is written, parsed again, and the same; any bytes written as a string are valid JSON. */
#include "codec/json.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = { (const char *)data, size };
    struct err e = { 0 };
    AUTO_BUF struct buf out = BUF_INIT(8 << 20);
    AUTO_JSON json_t *j = json_parse(in, &e);

    FUZZ_CHECK(j != NULL || e.code > 0);
    if (j && json_write(&out, j)) {
        AUTO_JSON json_t *again = json_parse(buf_str(&out), &e);
        FUZZ_CHECK(again != NULL && json_equal(j, again));
    }
    AUTO_BUF struct buf text = BUF_INIT(8 << 20);
    json_write_str(&text, in);
    if (buf_ok(&text) && !str_find(in, 0, &(size_t){ 0 })) {
        AUTO_JSON json_t *s = json_parse(buf_str(&text), &e);
        FUZZ_CHECK(json_is_string(s));
    }
    return 0;
}
