/* SPDX-License-Identifier: Apache-2.0 */
/* ed25519: signatures (RFC 8032, pure Ed25519) by libcrypto. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define ED25519_SEED 32u
#define ED25519_KEY  32u
#define ED25519_SIG  64u

/* The public key of a private one. */
void ed25519_public(const uint8_t seed[ED25519_SEED], uint8_t key[ED25519_KEY]);
void ed25519_sign(const uint8_t seed[ED25519_SEED], struct str message,
                  uint8_t sig[ED25519_SIG]);
/* False also for a key that is no point of the curve. */
bool ed25519_verify(const uint8_t key[ED25519_KEY], struct str message,
                    const uint8_t sig[ED25519_SIG]);
