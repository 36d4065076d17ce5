/* SPDX-License-Identifier: Apache-2.0 */
/* The first flight of a TLS client. The verdict does not depend on how the bytes arrive: a prefix
 * is never judged otherwise than "more" or as the whole is. */
#include <errno.h>
#include <string.h>

#include "codec/ip4.h"
#include "codec/tls_hello.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t scratch[TLS_HELLO_MAX];
    struct tls_hello h = { 0 }, part = { 0 };
    struct ip4_flow flow;

    int rc = tls_hello_read(data, size, scratch, &h);
    FUZZ_CHECK(rc == 0 || rc == 1 || rc == -EPROTO);
    FUZZ_CHECK(strlen(h.name) <= TLS_NAME_MAX);
    for (size_t n = 0; n < size && size <= 1024; n++) {
        int early = tls_hello_read(data, n, scratch, &part);
        FUZZ_CHECK(early == 0 || early == rc);
        FUZZ_CHECK(early != 1 || strcmp(part.name, h.name) == 0);
    }
    rc = ip4_read(data, size, &flow);
    FUZZ_CHECK(rc == -EPROTO || (rc == 0 && size >= 20));
    return 0;
}
