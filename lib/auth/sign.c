/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sign.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"

static const unsigned char *bytes_of(struct str s)
{
    return (const unsigned char *)(s.p ? s.p : "");
}

struct digest hmac_sha256(struct str key, struct str message)
{
    struct digest d;
    unsigned n = sizeof d.byte;

    ASSERT(key.n <= INT_MAX);
    ASSERT(HMAC(EVP_sha256(), bytes_of(key), (int)key.n, bytes_of(message), message.n, d.byte,
                &n) != NULL &&
           n == sizeof d.byte);
    return d;
}
