/* SPDX-License-Identifier: Apache-2.0 */
/* seal: AES-256-GCM with a 16-byte tag, HMAC-SHA256, and keys from passphrases, by libcrypto and libargon2. Keys are the caller's to wipe. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

#define SEAL_KEY 32u
#define SEAL_IV  12u
#define SEAL_TAG 16u

/* Appends ciphertext and tag. */
void seal(const uint8_t key[SEAL_KEY], const uint8_t iv[SEAL_IV], struct str aad,
          struct str plain, struct buf *out);
/* Appends what was sealed. False, and nothing was appended: it is not what was sealed with this key, iv and aad. The memory of `out` held
 * bytes of it for a moment, and is the caller's to wipe. */
bool unseal(const uint8_t key[SEAL_KEY], const uint8_t iv[SEAL_IV], struct str aad,
            struct str sealed, struct buf *out);

void hmac_sha256(struct str key, struct str message, uint8_t out[32]);

/* PBKDF2-HMAC-SHA256 (RFC 8018). */
void key_by_pbkdf2(struct str passphrase, struct str salt, unsigned rounds,
                   uint8_t out[SEAL_KEY]);
/* Argon2id version 1.3 (RFC 9106), one lane. Without the memory the program ends. */
void key_by_argon2id(struct str passphrase, struct str salt, unsigned passes, unsigned kib,
                     uint8_t out[SEAL_KEY]);
