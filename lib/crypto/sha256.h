/* SPDX-License-Identifier: Apache-2.0 */
/* sha256: SHA-256 (FIPS 180-4) by libcrypto. A plain value. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define SHA256_HEX 64u /* digits, without the NUL */

struct sha256 {
    uint8_t byte[32];
};
/* Cannot fail but for want of memory, which ends the program. */
struct sha256 sha256_of(struct str s);
bool sha256_eq(const struct sha256 *a, const struct sha256 *b);
/* Lower-case digits and a NUL. */
void sha256_to_hex(const struct sha256 *d, char out[SHA256_HEX + 1]);
/* Exactly 64 lower-case digits: 0 or -EINVAL. */
int sha256_from_hex(struct str s, struct sha256 *out);

/* The same for n bytes: 2n lower-case digits and a NUL; exactly 2n of them: 0 or -EINVAL. */
void hex_encode(const uint8_t *p, size_t n, char *out);
int hex_decode(struct str s, uint8_t *out, size_t n);
