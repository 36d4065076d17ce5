/* SPDX-License-Identifier: Apache-2.0 */
#include "auth/sign.h"

#include <limits.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/assert.h"

static const unsigned char *bytes_of(struct str s)
{
    return (const unsigned char *)(s.p ? s.p : "");
}

struct digest hmac_sha256(struct str key, struct str message)
{
    struct digest d;
    unsigned n = sizeof d.byte;

    ASSERT(key.n <= INT_MAX);
    ASSERT(HMAC(EVP_sha256(), bytes_of(key), (int)key.n, bytes_of(message), message.n, d.byte,
                &n) != NULL &&
           n == sizeof d.byte);
    return d;
}

void ed25519_public_of(const uint8_t private_key[ED25519_KEY], uint8_t public_key[ED25519_KEY])
{
    EVP_PKEY *k =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, ED25519_KEY);
    size_t n = ED25519_KEY;

    ASSERT(k && EVP_PKEY_get_raw_public_key(k, public_key, &n) == 1 && n == ED25519_KEY);
    EVP_PKEY_free(k);
}

void ed25519_sign(const uint8_t private_key[ED25519_KEY], struct str message,
                  uint8_t signature[ED25519_SIGNATURE])
{
    EVP_PKEY *k =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, ED25519_KEY);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    size_t n = ED25519_SIGNATURE;

    ASSERT(k && c && EVP_DigestSignInit(c, NULL, NULL, NULL, k) == 1);
    ASSERT(EVP_DigestSign(c, signature, &n, bytes_of(message), message.n) == 1 &&
           n == ED25519_SIGNATURE);
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(k);
}

bool ed25519_verify(const uint8_t public_key[ED25519_KEY], struct str message,
                    const uint8_t signature[ED25519_SIGNATURE])
{
    EVP_PKEY *k = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, public_key, ED25519_KEY);
    EVP_MD_CTX *c = EVP_MD_CTX_new();

    ASSERT(k && c && EVP_DigestVerifyInit(c, NULL, NULL, NULL, k) == 1);
    int rc = EVP_DigestVerify(c, signature, ED25519_SIGNATURE, bytes_of(message), message.n);
    EVP_MD_CTX_free(c);
    EVP_PKEY_free(k);
    return rc == 1; /* all else, an error of OpenSSL's included, is a refusal */
}
