/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/ed25519.h"

#include <openssl/evp.h>

#include "base/assert.h"

static const unsigned char *bytes_of(struct str s)
{
    return (const unsigned char *)(s.p ? s.p : "");
}

void ed25519_public(const uint8_t seed[ED25519_SEED], uint8_t key[ED25519_KEY])
{
    size_t n = ED25519_KEY;
    EVP_PKEY *k = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_SEED);

    ASSERT(k && EVP_PKEY_get_raw_public_key(k, key, &n) == 1 && n == ED25519_KEY);
    EVP_PKEY_free(k);
}

void ed25519_sign(const uint8_t seed[ED25519_SEED], struct str message,
                  uint8_t sig[ED25519_SIG])
{
    size_t n = ED25519_SIG;
    EVP_PKEY *k = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, ED25519_SEED);
    EVP_MD_CTX *c = EVP_MD_CTX_new();

    ASSERT(k && c && EVP_DigestSignInit(c, NULL, NULL, NULL, k) == 1 &&
           EVP_DigestSign(c, sig, &n, bytes_of(message), message.n) == 1 && n == ED25519_SIG);
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(k);
}

bool ed25519_verify(const uint8_t key[ED25519_KEY], struct str message,
                    const uint8_t sig[ED25519_SIG])
{
    EVP_PKEY *k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, ED25519_KEY);
    EVP_MD_CTX *c = EVP_MD_CTX_new();

    ASSERT(c);
    bool ok = k && EVP_DigestVerifyInit(c, NULL, NULL, NULL, k) == 1 &&
              EVP_DigestVerify(c, sig, ED25519_SIG, bytes_of(message), message.n) == 1;
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(k);
    return ok;
}
