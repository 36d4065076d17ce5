/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/sha256.h"

#include <errno.h>
#include <openssl/sha.h>

#include "base/assert.h"

_Static_assert(SHA256_DIGEST_LENGTH == 32, "SHA-256");

struct sha256 sha256_of(struct str s)
{
    struct sha256 d;

    ASSERT(SHA256((const unsigned char *)(s.p ? s.p : ""), s.n, d.byte) != NULL);
    return d;
}

bool sha256_eq(const struct sha256 *a, const struct sha256 *b)
{
    return memcmp(a->byte, b->byte, sizeof a->byte) == 0;
}

void hex_encode(const uint8_t *p, size_t n, char *out)
{
    static const char digit[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digit[p[i] >> 4];
        out[2 * i + 1] = digit[p[i] & 15];
    }
    out[2 * n] = 0;
}

static int value_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int hex_decode(struct str s, uint8_t *out, size_t n)
{
    if (s.n != 2 * n)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i++)
        if (value_of(s.p[i]) < 0)
            return -EINVAL;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(value_of(s.p[2 * i]) << 4 | value_of(s.p[2 * i + 1]));
    return 0;
}

void sha256_to_hex(const struct sha256 *d, char out[SHA256_HEX + 1])
{
    hex_encode(d->byte, sizeof d->byte, out);
}

int sha256_from_hex(struct str s, struct sha256 *out)
{
    return hex_decode(s, out->byte, sizeof out->byte);
}
