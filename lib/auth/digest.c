/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/digest.h"

#include <string.h>

#include "crypto/seal.h"
#include "crypto/sha256.h"

struct digest digest_of(struct str s)
{
    const struct sha256 from = sha256_of(s);
    struct digest d;

    memcpy(d.byte, from.byte, sizeof d.byte);
    return d;
}

struct digest digest_hmac(struct str key, struct str message)
{
    struct digest d;

    hmac_sha256(key, message, d.byte);
    return d;
}
