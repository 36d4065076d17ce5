/* SPDX-License-Identifier: Apache-2.0 */
/* sha256: FIPS 180-4. Pure. For file signatures; envd links no crypto library. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define SHA256_BYTES 32

struct sha256 { /* fields are private to sha256.c */
    uint32_t h[8];
    uint64_t n; /* bytes taken */
    uint8_t block[64];
};

void sha256_init(struct sha256 *s);
void sha256_add(struct sha256 *s, const void *p, size_t n);
/* Writes the digest and wipes *s. */
void sha256_done(struct sha256 *s, uint8_t out[SHA256_BYTES]);
