/* SPDX-License-Identifier: Apache-2.0 */
/* auth/sign: HMAC-SHA256 (RFC 2104) and Ed25519 (RFC 8032), by OpenSSL. None can fail but for want of memory, which ends the
 * program: a signature must never be taken for checked that was not. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "auth/digest.h"
#include "base/str.h"

#define ED25519_KEY       32u /* bytes of a private key (its seed), and of a public one */
#define ED25519_SIGNATURE 64u

struct digest hmac_sha256(struct str key, struct str message);

void ed25519_public_of(const uint8_t private_key[ED25519_KEY], uint8_t public_key[ED25519_KEY]);
void ed25519_sign(const uint8_t private_key[ED25519_KEY], struct str message,
                  uint8_t signature[ED25519_SIGNATURE]);
/* False too for a public key that is no point of the curve. */
bool ed25519_verify(const uint8_t public_key[ED25519_KEY], struct str message,
                    const uint8_t signature[ED25519_SIGNATURE]);
