/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/digest.h"

#include <openssl/sha.h> /* not evp.h: it has parameters called rand, which base/banned.h poisons */

#include "base/assert.h"

_Static_assert(SHA256_DIGEST_LENGTH == 32, "SHA-256");

struct digest digest_of(struct str s)
{
    struct digest d;

    ASSERT(SHA256((const unsigned char *)(s.p ? s.p : ""), s.n, d.byte) != NULL);
    return d;
}
