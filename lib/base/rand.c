/* SPDX-License-Identifier: Apache-2.0 */
#include "base/rand.h"

#include <errno.h>
#include <stdint.h>
#include <sys/random.h>

#include "base/assert.h"

void rand_bytes(void *out, size_t n)
{
    unsigned char *p = out;

    while (n > 0) {
        ssize_t got = getrandom(p, n, 0);
        ASSERT(got > 0 || errno == EINTR);
        if (got > 0) {
            p += got;
            n -= (size_t)got;
        }
    }
}

void rand_id(char *out, size_t n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
    size_t i = 0;

    while (i < n) {
        unsigned char b[32];
        rand_bytes(b, sizeof b);
        for (size_t k = 0; k < sizeof b && i < n; k++)
            if (b[k] < 252) /* 7 * 36: what lies above would favour the first letters */
                out[i++] = letters[b[k] % 36];
    }
    out[n] = 0;
}

void rand_hex(char *out, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char b[64];

    ASSERT(n <= sizeof b);
    rand_bytes(b, n);
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = hex[b[i] >> 4];
        out[2 * i + 1] = hex[b[i] & 15];
    }
    out[2 * n] = 0;
}
